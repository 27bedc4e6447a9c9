"""MaaSSubscriptions: which one a key is bound to, and what it opens."""
