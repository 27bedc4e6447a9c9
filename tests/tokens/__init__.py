"""Tokens of users that are right, wrong and hostile, and what the gateway answers to each."""
