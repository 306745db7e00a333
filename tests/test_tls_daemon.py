"""TLS as clients of a real daemon meet it: its certificate, its dialects, and what it refuses."""

import contextlib
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager

import pytest
from peers.secure import SecureWire, client_context, write_certificate
from support import PATIENCE, Ended, one_error, run_chatd
from test_http import metrics, own_address

from chatd.certificate import OWN, make, read
from chatd.wire.errors import ConfigError

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
PLAIN = b'"error":113,"name":"tls_required"'


@pytest.fixture
def secure(chatd):
    """Connects in TLS to one daemon."""
    wires = []

    def connect(**more) -> SecureWire:
        wires.append(SecureWire(chatd.port, **more))
        return wires[-1]

    yield connect
    for wire in wires:
        wire.close()


def page(chatd, path: str, scheme: str = "https", host: str = "127.0.0.1") -> tuple[int, bytes]:
    handler = urllib.request.HTTPSHandler(context=client_context())
    try:
        url = f"{scheme}://{host}:{chatd.port}{path}"
        with urllib.request.build_opener(handler).open(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.request.HTTPError as error:
        with error:
            return error.code, error.read()


# --- its certificate ------------------------------------------------------------------------------


def test_a_certificate_is_made_once_and_its_fingerprint_is_told(start):
    first = start()
    told = first.says("^certificate: (.*)")[1]
    with SecureWire(first.port) as wire:
        assert wire.fingerprint == told
    assert (first.data / OWN).stat().st_mode & 0o777 == 0o600
    assert f"certificate={told}" in first.log()
    first.stop()
    again = start()
    again.says(f"^certificate: {told.replace('+', '[+]')}$")


def test_who_finds_a_certificate_loads_nothing_that_makes_one(tmp_path):
    write_certificate(tmp_path, OWN)
    script = (
        "import pathlib, sys, chatd.cli\n"
        "from chatd import certificate\n"
        "certificate.read(None, pathlib.Path(sys.argv[1]))\n"
        "assert 'ssl' in sys.modules\n"
        "print('cryptography' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_given_certificate_is_shown_and_none_is_made(start, tmp_path):
    path, fingerprint = write_certificate(tmp_path, "given.pem")
    chatd = start("--tls", path, path)
    with SecureWire(chatd.port) as wire:
        assert wire.fingerprint == fingerprint
    assert not (chatd.data / OWN).exists()


WHOLE = {"certificate", "key"}


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        (None, WHOLE, "cannot read the certificate .*: No such file"),
        (WHOLE, None, "cannot read the key .*: No such file"),
        ({}, WHOLE, "holds no certificate in PEM"),
        ({"key"}, WHOLE, "holds no certificate in PEM"),
        ({"nonsense"}, WHOLE, "cannot be used"),
        (WHOLE, {}, "cannot be used"),
        (WHOLE, {"certificate"}, "cannot be used"),
        ({"certificate"}, {"key"}, ""),
    ],
)
def test_files_that_cannot_be_used_are_told_in_one_sentence(tmp_path, certificate, key, said):
    own, begin, rest = make().partition("-----BEGIN PRIVATE")
    parts = {"certificate": own, "key": begin + rest, "nonsense": own.replace("MII", "AII", 1)}
    given = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path, content in zip(given, (certificate, key), strict=True):
        if content is not None:
            path.write_text("".join(parts[one] for one in sorted(content)))
            path.chmod(0o600)
    with pytest.raises(ConfigError, match=said) if said else contextlib.nullcontext():
        read(given, tmp_path)


def test_a_key_of_another_certificate_one_with_a_passphrase_and_one_for_all_to_read(tmp_path):
    ours, _ = write_certificate(tmp_path, "ours.pem")
    theirs, _ = write_certificate(tmp_path, "theirs.pem")
    with pytest.raises(ConfigError, match="key values mismatch"):
        read((ours, theirs), tmp_path)
    locked = tmp_path / "locked.pem"
    done = subprocess.run(
        ["openssl", "pkey", "-in", ours, "-aes256", "-passout", "pass:secret", "-out", locked],
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode == 0:
        locked.chmod(0o600)
        with pytest.raises(ConfigError, match="cannot be used"):
            read((ours, locked), tmp_path)
    ours.chmod(0o644)
    with pytest.raises(ConfigError, match="mend it: chmod 600"):
        read((ours, ours), tmp_path)


def test_a_daemon_with_a_broken_certificate_does_not_start(tmp_path):
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / OWN).write_text("nonsense")
    (tmp_path / "data" / OWN).chmod(0o600)
    words = ["0", "--host", "127.0.0.1", "--data", tmp_path / "data"]
    assert f"{OWN} holds no certificate" in one_error(run_chatd(*words))
    one_error(run_chatd("0", "--tls", "only-one"))


def test_a_reload_shows_the_new_certificate_to_the_next_and_drops_nobody(start, tmp_path):
    path, old = write_certificate(tmp_path, "given.pem")
    chatd = start("--tls", path, path)
    with SecureWire(chatd.port) as ann, SecureWire(chatd.port) as bob:
        ann.join("ann")
        assert ann.fingerprint == old
        path.write_text("half a file")
        chatd.signal(signal.SIGHUP)
        chatd.says("^everything stays as it was: .*holds no certificate in PEM")
        bob.join("bob")
        assert 'event=reload failed="' in chatd.log()
        assert bob.fingerprint == old
        path, new = write_certificate(tmp_path, "given.pem")
        chatd.signal(signal.SIGHUP)
        chatd.says("^read again: .* and the certificate")
        assert f"certificate={new}" in chatd.log()
        with SecureWire(chatd.port) as cleo:
            assert cleo.join("cleo").fingerprint == new != old
            ann.tell("bob", "still here")
            bob.await_("incoming", content="still here")


# --- what is spoken -------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_plain_and_extended_sessions_and_pages_in_tls(chatd, secure, version):
    ann, bob = secure(version=version).join("ann"), secure(version=version).join_plain("bob")
    cleo = chatd.join("cleo")
    ann.tell("bob", "in TLS")
    assert bob.read() == {"code": "incoming", "from": "ann", "content": "in TLS"}
    bob.send("outgoing", to="cleo", content="and out of it")
    assert cleo.await_("incoming")["content"] == "and out of it"
    assert ann.send("quit").rest()[-1]["reason"] == "quit"
    assert page(chatd, "/healthz") == (200, b"ok\n")


def test_many_frames_in_one_record_and_one_in_many(secure):
    ann, bob = secure().join("ann"), secure().join("bob")
    asked = [{"code": "outgoing", "to": "bob", "content": f"{n}", "id": f"{n}"} for n in range(100)]
    ann.raw("".join(json.dumps(one) + "\n" for one in asked).encode())
    assert [bob.await_("incoming")["content"] for _ in asked] == [one["content"] for one in asked]
    big = "x" * 16_000
    for byte_or_more in cut(json.dumps({"code": "outgoing", "to": "bob", "content": big}).encode()):
        ann.raw(byte_or_more)
    assert bob.await_("incoming")["content"] == big
    assert ann.send("ping", n=1).await_("pong", n=1)


def cut(data: bytes) -> list[bytes]:
    return [data[at : at + 700] for at in range(0, len(data), 700)]


def test_the_first_byte_may_come_alone(chatd):
    """The rest of the handshake by a proxy that sends single bytes first."""

    def change(data: bytes) -> list[bytes]:
        return [*(data[at : at + 1] for at in range(9)), data[9:]]

    with passing(chatd.port, change) as port, SecureWire(port) as wire:
        assert wire.join("ann").settle() == []


def test_bytes_in_the_wrong_language_are_refused_and_logged_with_the_address(chatd):
    with chatd.wire() as wire:
        origin = "{}:{}".format(*wire.sock.getsockname())
        assert wire.raw(b"\x16" + b"no TLS at all, " * 20).rest() == []
    assert chatd.join("ann").settle() == []
    refused = rf'event=refused text="tls: .*" address={origin}$'
    assert re.search(refused, chatd.log(), re.MULTILINE)


def test_a_handshake_has_the_time_of_the_limits(start, tmp_path):
    limits = tmp_path / "limits.toml"
    limits.write_text("handshake = 0.2\n")
    chatd = start("--limits", limits)
    with chatd.wire() as wire:
        assert wire.raw(b"\x16").rest() == []
    chatd.join("ann")
    assert 'text="tls: no handshake within 0.2 seconds"' in chatd.log()
    assert metrics(chatd)["chatd_tls_handshake_failures_total",] == 1


def test_sessions_in_tls_and_handshakes_are_counted(chatd, secure):
    ann, bob = secure(version=VERSIONS[0]).join("ann"), secure(version=VERSIONS[1]).join("bob")
    chatd.join("cleo")
    secure(version=VERSIONS[1]).join_plain("dora")
    assert chatd.wire().raw(b"\x16" + b"no TLS at all, " * 20).rest() == []
    assert page(chatd, "/healthz")[0] == 200  # in TLS, and no session
    bob.send("quit").rest()
    ann.await_("notice", kind="quit")
    counted = metrics(chatd)
    assert counted["chatd_tls_sessions",] == 2
    assert counted["chatd_tls_handshakes_total", "TLSv1.2"] == 1
    assert counted["chatd_tls_handshakes_total", "TLSv1.3"] == 3
    assert counted["chatd_tls_handshake_failures_total",] == 1


def test_a_reader_in_tls_that_stands_still_costs_little_and_catches_up(chatd, secure):
    ann, bob = chatd.join("ann"), secure().join_plain("bob")
    text, count = "x" * 15_000, 800
    for n in range(count):
        ann.send("outgoing", to="bob", content=f"{n} {text}", id=str(n))
    ann.await_("ack", re=str(count - 1))
    queued = next(
        float(line.split()[1])
        for line in page(chatd, "/metrics")[1].decode().splitlines()
        if line.startswith("chatd_queued_bytes ")
    )
    assert 0 < queued < 1_000_000
    assert [bob.read()["content"].split()[0] for _ in range(count)] == list(map(str, range(count)))


# --- what is refused ------------------------------------------------------------------------------


def test_tls_only_refuses_the_rest_with_one_line(start):
    chatd = start("--tls-only")
    assert chatd.lines[1] == f"join from here: chatsh --tls 127.0.0.1 {chatd.port} NAME"
    for said in (b'{"code":"hello","name":"ann","v":1}\n', b"\n", b"{", b"Good day"):
        with chatd.wire() as wire:
            origin = "{}:{}".format(*wire.sock.getsockname())
            wire.raw(said)
            assert PLAIN in wire.line()
            with pytest.raises(Ended):
                wire.line()
        assert 'event=refused code=113 text="This server is spoken to in TLS alone' in chatd.log()
        assert f"address={origin}" in chatd.log()
    assert page(chatd, "/healthz", "http") == (200, b"ok\n")  # for a health check
    with SecureWire(chatd.port) as wire:
        assert wire.join("ann").settle() == []


def test_tls_only_refuses_pages_in_plain_to_others(start):
    here = own_address()
    chatd = start("--tls-only", "--metrics-from", here, host="")
    assert page(chatd, "/healthz", "http", here)[0] == 403
    assert page(chatd, "/healthz", "https", here) == (200, b"ok\n")


@contextmanager
def passing(port: int, change):
    """A proxy for one connection: `change` cuts each piece from the client into what passes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends = []

        def carry(source, target, change):
            try:
                while data := source.recv(65_536):
                    for piece in change(data):
                        target.sendall(piece)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        def accept():
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port), PATIENCE)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ends.extend([near, far])
            back = threading.Thread(target=carry, args=(far, near, lambda data: [data]))
            back.start()
            carry(near, far, change)
            back.join(PATIENCE)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)
        for end in ends:
            end.close()


def test_a_byte_changed_on_the_way_ends_the_session_and_delivers_nothing(chatd):
    flipping = threading.Event()

    def change(data: bytes) -> list[bytes]:
        if not flipping.is_set():
            return [data]
        return [bytes([*data[:-1], data[-1] ^ 0x20])]

    bob = chatd.join("bob")
    with passing(chatd.port, change) as port, SecureWire(port) as ann:
        ann.join("ann").tell("bob", "as it was written")
        flipping.set()
        ann.send("outgoing", to="bob", content="changed", id="2")
        with pytest.raises(Ended):
            ann.await_("ack")
    bob.await_("notice", kind="lost", name="ann")
    assert [frame for frame in bob.settle() if frame["code"] == "incoming"] == []
    assert 'reason="tls: decryption failed or bad record mac"' in chatd.log()


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl program here")
@pytest.mark.parametrize(
    ("version", "command", "said", "goes_on"),
    [("-tls1_2", "R", "RENEGOTIATING", False), ("-tls1_3", "K", "KEYUPDATE", True)],
)
def test_to_negotiate_anew_ends_it_and_new_keys_are_taken(chatd, version, command, said, goes_on):
    """By OpenSSL's own client, which takes letters for commands."""
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{chatd.port}", version]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as client:

        def heard(line: str, end: str) -> bool:
            client.stdin.write(f"{line}\n".encode())
            return any(end.encode() in one for one in iter(client.stdout.readline, b""))

        assert heard('{"code":"hello","name":"ann","v":1}', '"welcome"')
        assert heard(command, said)
        with contextlib.suppress(BrokenPipeError):
            assert heard('{"code":"ping","n":7}', '"pong"') is goes_on
        client.kill()
    assert chatd.join("bob").ask("seen", name="ann", id="s")["re"] == "s"
