"""Platform users by JWT of OpenID Connect issuers (RFC 7519, RFC 8725, RFC 9068; OpenID Connect Discovery 1.0)."""
