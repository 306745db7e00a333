"""Peers that speak TLS, by the standard library's sockets."""

from __future__ import annotations

import hashlib
import ssl
from base64 import b64encode
from pathlib import Path

from support import Ended, Wire

from chatd.certificate import make


def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Takes every certificate; speaks this version alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def fingerprint_of(certificate: bytes) -> str:
    """Of one in DER, as it is printed."""
    digest = hashlib.sha256(certificate).digest()
    return "SHA256:" + b64encode(digest).decode().rstrip("=")


def write_certificate(folder: Path, name: str) -> tuple[Path, str]:
    """A file with a fresh certificate and its key; its fingerprint."""
    path = folder / name
    path.write_text(make())
    path.chmod(0o600)
    return path, fingerprint_of(ssl.PEM_cert_to_DER_cert(path.read_text().split("-----BEGIN P")[0]))


class SecureWire(Wire):
    """A connection in TLS, where an end without close_notify is an error."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, version: ssl.TLSVersion | None = None
    ) -> None:
        super().__init__(port, host)
        self.sock = client_context(version).wrap_socket(self.sock, suppress_ragged_eofs=False)

    @property
    def fingerprint(self) -> str:
        """Of the certificate that it was shown."""
        return fingerprint_of(self.sock.getpeercert(binary_form=True))

    def join(self, name: str, **fields) -> SecureWire:
        """Open an extended session."""
        self.send("hello", name=name, v=1, **fields).await_("welcome")
        return self

    def join_plain(self, name: str) -> SecureWire:
        """Open a session of S3."""
        assert self.send("hello", name=name).line() == b'{"code":"welcome"}'
        return self

    def line(self) -> bytes:
        try:
            return super().line()
        except ssl.SSLError as error:
            raise Ended(error.reason) from None
