"""Who is calling: the gateway's headers, platform tokens, and who is an admin."""
