"""A throw-away certificate authority, made at run time and gone with the demo's folder."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """Signs server certificates for the simulators; ``write`` gives the file a client trusts it by."""

    def __init__(self) -> None:
        self._ca = trustme.CA(organization_name="maas-api demo")

    def server(self, hostname: str) -> ssl.SSLContext:
        """A server's context that presents a certificate for ``hostname``, TLS 1.2 or newer."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._ca.issue_cert(hostname).configure_cert(context)
        return context

    def write(self, path: Path) -> Path:
        """Write the authority's certificate (no private key) as PEM."""
        self._ca.cert_pem.write_to_path(str(path))
        return path
