"""The composition root: Settings in, the assembled service out. The only place that wires things together."""
