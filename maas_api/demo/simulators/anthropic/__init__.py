"""Anthropic's Messages endpoint in the shapes of its API reference."""
