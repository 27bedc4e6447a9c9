"""Connections: how they come in, what one may take, which give way, and the HTTP and TLS spoken on them."""
