"""The certificate of the daemon: given by the operator, or made at the first start and kept.

Clients pin it like the key of an ssh host, so that nobody has to vouch for it: it is self-signed,
names no host and does not run out.
"""

from __future__ import annotations

import re
import stat
from base64 import b64decode
from pathlib import Path
from typing import NamedTuple

from chatd.files import replace_file
from chatd.net.tls import Context, server_context
from chatd.wire.errors import ConfigError
from chatd.wire.text import fingerprint

OWN = "tls.pem"  # in the data folder: certificate and key

_FIRST = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


class Certificate(NamedTuple):
    """What a handshake needs, and what people compare."""

    context: Context
    fingerprint: str


def read(given: tuple[Path, Path] | None, folder: Path) -> Certificate:
    """The certificate and the key that were given, or else those of the data folder.

    Where that has none they are made. Raises `ConfigError`.
    """
    own = folder / OWN
    if given is None and not own.exists():
        replace_file(own, make())
    certificate, key = given or (own, own)
    _check_mode(key)
    shown = _fingerprint(certificate)
    try:
        return Certificate(server_context(str(certificate), str(key)), shown)
    except OSError as error:  # those of OpenSSL too
        why = (getattr(error, "reason", None) or error.strerror or "?").replace("_", " ").lower()
        raise ConfigError(
            f"the certificate {certificate} and the key {key} cannot be used: {why}"
        ) from None


def _check_mode(key: Path) -> None:
    """A group may read it, as Debian's ssl-cert does."""
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise ConfigError(f"cannot read the key {key}: {error.strerror}") from None
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        raise ConfigError(f"{key} can be read by everybody; mend it: chmod 600 {key}")


def _fingerprint(path: Path) -> str:
    """Of the first certificate in the file, which is the one that is shown."""
    try:
        found = _FIRST.search(path.read_text("utf-8"))
        encoded = b64decode(found[1]) if found else b""
    except OSError as error:
        raise ConfigError(f"cannot read the certificate {path}: {error.strerror}") from None
    except ValueError:  # not UTF-8, not Base64
        encoded = b""
    if not encoded:
        raise ConfigError(f"{path} holds no certificate in PEM")
    return fingerprint(encoded)


def make() -> str:
    """A new key and its certificate, in PEM."""
    # Read in 80 ms, and needed once in the life of a data folder.
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chatd")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))  # also where a clock is wrong
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))  # RFC 5280, 4.1.2.5
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (certificate.public_bytes(pem) + secret).decode()
