"""Wherever an API key can stand in a request: what a model's server receives of it, and what the logs show."""
