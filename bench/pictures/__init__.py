"""What a run found, kept as JSON, drawn as SVG, and written into docs/performance.md."""
