"""The wire of usage: batches in, answers out."""
