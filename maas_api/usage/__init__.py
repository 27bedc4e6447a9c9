"""Metered calls: OTLP in, hourly sums in the store, answers and limits out of them."""
