"""Every way to a model, tried by every kind of caller through a real Envoy: ``make matrix`` prints the answers."""
