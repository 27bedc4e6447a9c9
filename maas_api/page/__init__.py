"""The self-service page: what the API offers a person, as HTML made here, with a little script of our own."""
