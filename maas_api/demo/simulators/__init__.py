"""Stand-ins for the outside world, plainly so: an OpenAI API, an Anthropic API and an in-cluster model server.

Real HTTP servers on real sockets that answer always the same sentence, in the shapes the official SDKs read.
Nothing here is part of the gateway; ``maas-api demo`` and the tests talk to them, and read what they received.
"""
