"""What generators of clients make of openapi.yaml, and whether that works against the running service."""
