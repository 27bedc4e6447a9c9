"""Metrics, logs and traces, recorded at the edges."""
