"""NATS in TLS, and with users: what is refused is told in one line, before anything is sent."""

import ipaddress
import socket
import threading
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from peers.nats import Nats

from chatd.cluster.store import ClusterStore
from chatd.wire.errors import StoreError


@pytest.fixture
def certificate(tmp_path):
    """One of 127.0.0.1, which is its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nats")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (tmp_path / "nats.pem").write_bytes(made.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (tmp_path / "nats.key").write_bytes(secret)
    return tmp_path / "nats.pem", tmp_path / "nats.key"


@pytest.fixture
def server(tmp_path):
    """Start servers with these words; all are ended with the test."""
    started = []

    def begin(*words, **more) -> Nats:
        started.append(Nats(tmp_path / f"nats{len(started)}", *words, **more))
        return started[-1]

    yield begin
    for one in started:
        one.end()


def refused(url: str, folder) -> str:
    with pytest.raises(StoreError) as error:
        ClusterStore([url], folder)
    assert "secret" not in str(error.value)
    return str(error.value)


def test_tls_is_spoken_where_it_is_asked_for(server, certificate, tmp_path, monkeypatch):
    cert, key = certificate
    one = server("--tls", "--tlscert", str(cert), "--tlskey", str(key))
    url = one.url.replace("nats://", "tls://")
    said = refused(url, tmp_path / "data")
    assert said.startswith(f"cannot reach NATS at {url}: its certificate is not trusted: self")
    assert said.endswith("; SSL_CERT_FILE=FILE names a CA of your own")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    for address in (url, one.url):  # whoever does not ask for it gets it where it has to be
        ClusterStore([address], tmp_path / "data").close()


def test_where_tls_may_be_left_out_it_is_spoken_by_who_asks_for_it(
    server, certificate, tmp_path, monkeypatch
):
    cert, key = certificate
    one = server(settings=f'tls {{cert_file: "{cert}", key_file: "{key}"}}\nallow_non_tls: true')
    said = refused(one.url.replace("nats://", "tls://"), tmp_path / "data")
    assert "its certificate is not trusted" in said
    ClusterStore([one.url], tmp_path / "data").close()
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    ClusterStore([one.url.replace("nats://", "tls://")], tmp_path / "data").close()


def test_where_tls_is_not_spoken_it_is_told(server, tmp_path):
    one = server("--user", "me", "--pass", "secret")
    url = f"127.0.0.1:{one.port}"
    said = refused(f"tls://me:secret@{url}", tmp_path / "data")
    assert (
        said == f"cannot reach NATS at tls://{url}: it does not speak TLS; nothing was sent there"
    )
    ClusterStore([f"nats://me:secret@{url}"], tmp_path / "data").close()


def test_a_server_without_tls_gets_nothing_of_who_asks_for_it(tmp_path):
    heard = []

    def listen():
        while True:
            try:
                one, _ = listening.accept()
            except OSError:
                return
            with one:
                one.sendall(b'INFO {"version":"2.14.0","auth_required":true,"max_payload":9}\r\n')
                heard.append(one.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=listen, daemon=True).start()
        refused(f"tls://me:secret@127.0.0.1:{listening.getsockname()[1]}", tmp_path / "data")
    assert set(heard) == {b""}


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("", "it wants a user and a password: nats://USER:PASSWORD@HOST:PORT"),
        ("me:secrets@", "it does not let in this user with this password"),
    ],
)
def test_whoever_is_not_let_in_is_told_why(server, tmp_path, who, why):
    one = server("--user", "me", "--pass", "wonder")
    said = refused(f"nats://{who}127.0.0.1:{one.port}", tmp_path / "data")
    assert said == f"cannot reach NATS at nats://127.0.0.1:{one.port}: {why}"
