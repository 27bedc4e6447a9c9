"""The whole flow on one machine: provider simulators, a real Envoy, and the walk through them."""
