"""The server's entry: fast routes answered in the event loop, Flask for the rest."""
