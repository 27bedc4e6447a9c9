"""Where HTTP comes in: bounds, guards, the short way for validations, Flask behind a bridge, TLS, probes."""
