"""TLS from files that are read again when they change, or from a certificate made at start.

A context is never changed while it serves: new files make a new one, complete or not at all, and connections that
begin from then on use it. A rotation half-way through (certificate new, key old) therefore keeps the pair in use.
"""

from __future__ import annotations

import datetime
import ipaddress
import logging
import os
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maas_api.observability import metrics

if TYPE_CHECKING:  # loaded where a certificate is read or made
    from cryptography import x509

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_SELF_SIGNED_DAYS = 3650


class TlsError(Exception):
    """The certificate's files cannot be used. The message names the file and the rule."""


class Files(NamedTuple):
    """PEM files: the certificate chain, its key, and the CAs of client certificates (None: not asked for)."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def fingerprint(self) -> tuple[tuple[int, int, int], ...]:
        """Changes whenever a file is replaced, by writing or by moving a link as mounted Secrets do."""
        stats = [path.stat() for path in self if path is not None]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)


def context(files: Files, minimum: str) -> ssl.SSLContext:
    """A server's context. Raises TlsError where the files do not fit together or cannot be read."""
    result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    result.minimum_version = _VERSIONS[minimum]
    result.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    result.set_alpn_protocols(["http/1.1"])
    try:
        result.load_cert_chain(files.cert, files.key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as fault:
        raise TlsError(f"{files.cert} and {files.key} are not a certificate and its key in PEM: {fault}") from fault
    if files.client_ca is not None:
        try:
            result.load_verify_locations(files.client_ca)
        except (ssl.SSLError, OSError) as fault:
            raise TlsError(f"{files.client_ca} holds no CA certificates in PEM: {fault}") from fault
        result.verify_mode = ssl.CERT_REQUIRED
    return result


def _no_password() -> str:
    raise ValueError("the key is encrypted, and there is nobody to ask for its passphrase")


class Reloading:
    """A context whose certificate follows its files; a Background of every worker."""

    def __init__(self, files: Files, minimum: str, every: float = CHECK_SECONDS) -> None:
        self._files = files
        self._minimum = minimum
        self._every = every
        self._seen = files.fingerprint()
        self._current = context(files, minimum)
        # What the server is given: it asks for the newest context at the start of every handshake.
        self.context = context(files, minimum)
        self.context.sni_callback = self._choose
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _given: ssl.SSLContext) -> None:
        connection.context = self._current

    def start(self) -> None:
        """Watch the files in a thread."""
        metrics.tls_expiry.set(expires_at(self._files.cert))
        self._thread = threading.Thread(target=self._run, name="tls-files", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.check()

    def check(self) -> None:
        """Take over changed files. Files that do not fit together are reported once, and the old pair stays."""
        try:
            seen = self._files.fingerprint()
            if seen == self._seen:
                return
            fresh = context(self._files, self._minimum)
            expiry = expires_at(self._files.cert)
        except (TlsError, OSError, ValueError) as fault:
            metrics.tls_reloads.labels("failure").inc()
            log.error("TLS files changed and cannot be used, the old certificate stays", extra={"error": str(fault)})  # noqa: TRY400 -- the message says it all
            self._seen = seen if isinstance(fault, TlsError) else self._seen
            return
        self._seen, self._current = seen, fresh
        metrics.tls_reloads.labels("success").inc()
        metrics.tls_expiry.set(expiry)
        log.info("TLS certificate reloaded", extra={"file": str(self._files.cert)})

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2)


def expires_at(cert: Path) -> float:
    """When the first certificate of a PEM file ends, in Unix time. Raises ValueError where there is none."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc.timestamp()


def self_signed(folder: Path, names: tuple[str, ...]) -> Files:
    """A certificate for these names and addresses, written to ``folder``; the key readable by its owner only.

    ECDSA on P-256: callers open many fresh connections, and its handshake costs a fraction of RSA's.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, names[0][:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(text) for text in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = Files(folder / "tls.crt", folder / "tls.key")
    files.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    handle = os.open(files.key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return files


def _general_name(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
