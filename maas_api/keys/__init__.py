"""API keys: minted, validated, revoked."""
