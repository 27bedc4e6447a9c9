"""Budgets of keys at the door: what is held for a call before it passes, and what is said of it."""
