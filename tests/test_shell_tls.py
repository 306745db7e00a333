"""`chatsh` and TLS as a person meets it, and what can be seen of it on the wire."""

import ctypes
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from peers.shells import CHATSH
from support import PATIENCE

from chatd.certificate import OWN

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 0x0003
SECRET, PASSWORD = "for your eyes only", "open sesame 17"


def chatsh(folder, *words: str, text: str = "", before: tuple[str, ...] = (), **env: str):
    """A run that ends by itself, with a home of its own."""
    return subprocess.run(
        [*before, *CHATSH, *words],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state"), "HOME": str(folder), **env},
    )


def test_what_a_person_is_told_at_the_first_and_at_the_second_sight(start, tmp_path):
    chatd = start("--tls-only")
    fingerprint = chatd.says("^certificate: (.*)")[1]
    words = chatd.lines[1].removeprefix("join from here: chatsh ").replace("NAME", "ana").split()
    assert words[0] == "--tls"
    one = chatsh(tmp_path, *words, text="/who\n")
    assert (one.returncode, one.stdout.splitlines()[0]) == (
        0,
        f"connecting to server at 127.0.0.1, {chatd.port}",
    )
    (line,) = one.stderr.splitlines()
    kept = tmp_path / "state" / "chatsh" / "known_servers"
    assert line == (
        f"The certificate of 127.0.0.1, port {chatd.port} is {fingerprint}, "
        f"seen for the first time; kept in {kept}."
    )
    two = chatsh(tmp_path, "--tls", "127.0.0.1", str(chatd.port), "--to", "*", "hello")
    assert (two.returncode, two.stderr) == (0, "")


def test_a_changed_certificate_is_refused_in_one_line_with_exit_code_1(start, tmp_path):
    chatd = start()
    kept = tmp_path / "state" / "chatsh" / "known_servers"
    kept.parent.mkdir(parents=True)
    kept.write_text(f"127.0.0.1:{chatd.port} SHA256:{'x' * 43}\n")
    for words in ((), ("--to", "*", "never")):
        done = chatsh(tmp_path, "--tls", "127.0.0.1", str(chatd.port), *words)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("chatsh: THE CERTIFICATE OF 127.0.0.1")
        assert f"remove line 1 of {kept}" in line
    assert "never" not in chatd.log()


def test_a_shell_whose_server_comes_back_with_another_certificate_says_so_and_ends(
    shells, chatd, start
):
    ann = shells.log_in(chatd, "ann", "--tls")
    (chatd.data / OWN).unlink()
    chatd.end()
    start(port=chatd.port)
    assert shells.ends(ann) == 3
    assert "HAS CHANGED" in ann.flow


def test_a_profile_says_whether_in_tls_and_an_option_says_otherwise(start, tmp_path):
    chatd = start("--tls-only")
    settings = tmp_path / "config" / "chatsh" / "chatsh.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'[servers.work]\nhost = "127.0.0.1"\nport = {chatd.port}\ntls = "on"\n')
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert chatsh(tmp_path, "work", "--to", "*", "hi", **env).returncode == 0
    assert chatsh(tmp_path, "work", **env).stdout.count("current users:") == 1
    assert chatsh(tmp_path, "--no-tls", "work", "--to", "*", "hi", **env).returncode == 4


def test_help_explains_the_two_words(tmp_path):
    assert re.search(r"--tls, --no-tls\s+speak TLS", chatsh(tmp_path, "--help").stdout)


# --- on the wire ----------------------------------------------------------------------------------


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE)


@pytest.fixture
def networks():
    """Two machines on one cable: their names; the addresses are 10.77.0.1 and 10.77.0.2."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("to lay a cable between two network namespaces takes root, and ip(8)")
    here, there = (f"chatd-test-{os.getpid()}-{n}" for n in (1, 2))
    with ExitStack() as stack:
        for name in (here, there):
            try:
                run("ip", "netns", "add", name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
            stack.callback(run, "ip", "netns", "del", name)
        run(
            "ip",
            "-n",
            here,
            "link",
            "add",
            "cable",
            "type",
            "veth",
            "peer",
            "cable",
            "netns",
            there,
        )
        for number, name in enumerate((here, there), 1):
            run("ip", "-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "cable")
            run("ip", "-n", name, "link", "set", "cable", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield here, there


class Capture:
    """What both sides of each TCP connection have said on the cable of a network namespace."""

    def __init__(self, network: str) -> None:
        thread = threading.Thread(target=self._open, args=(network,))
        thread.start()
        thread.join(PATIENCE)

    def _open(self, network: str) -> None:
        """In a thread: it is moved there, and a socket stays where it was opened."""
        with Path("/run/netns", network).open("rb") as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self.sock.bind(("cable", 0))

    def streams(self) -> dict[tuple, bytes]:
        """By addresses and ports; each byte once, in order."""
        pieces: dict[tuple, dict[int, bytes]] = {}
        self.sock.setblocking(False)
        while True:
            try:
                packet = self.sock.recv(65_536)
            except BlockingIOError:
                break
            if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_TCP:
                _keep(packet, pieces)
        self.sock.close()
        return {key: _joined(parts) for key, parts in pieces.items()}


def _keep(packet: bytes, pieces: dict) -> None:
    """RFC 791, section 3.1, and RFC 9293, section 3.1."""
    tcp = packet[(packet[0] & 15) * 4 : struct.unpack("!H", packet[2:4])[0]]
    source, target, number = struct.unpack("!HHI", tcp[:8])
    data = tcp[(tcp[12] >> 4) * 4 :]
    if data:
        pieces.setdefault((packet[12:16], source, packet[16:20], target), {})[number] = data


def _joined(parts: dict[int, bytes]) -> bytes:
    """None of these connections is long enough for its numbers to begin anew more than once."""
    base = min(parts, key=lambda number: (number - next(iter(parts)) + 2**31) % 2**32)
    whole = bytearray()
    for number in sorted(parts, key=lambda number: (number - base) % 2**32):
        at = (number - base) % 2**32
        assert at <= len(whole), "the capture has lost something"
        whole[at:] = parts[number]
    return bytes(whole)


def records(stream: bytes) -> list[int]:
    """The types of the records of TLS that a stream consists of (RFC 8446, section 5.1)."""
    types, at = [], 0
    while at < len(stream):
        kind, major, _, size = struct.unpack("!BBBH", stream[at : at + 5])
        assert kind in (20, 21, 22, 23), stream[at : at + 50]
        assert major == 3
        assert size <= 16_384 + 256
        types.append(kind)
        at += 5 + size
    assert at == len(stream)
    return types


def test_on_the_wire_to_another_machine_there_is_tls_alone(networks, start, tmp_path):
    here, there = networks
    users = tmp_path / "users"
    users.write_text(f"ana {PASSWORD}\nben {PASSWORD}\n")
    users.chmod(0o600)
    chatd = start(users, host="", program=("-c", _WITHIN.format(here), "-m", "chatd"))
    (line,) = [line for line in chatd.lines if line.startswith("join from elsewhere: ")]
    name = line.split()[4]
    words = [word if word != name else "10.77.0.1" for word in line.split()[4:]]
    words[-1] = "ana"
    before = ("ip", "netns", "exec", there)
    capture = Capture(there)
    done = chatsh(
        tmp_path, *words, text=f"/bc {SECRET}\n/quit\n", before=before, CHATSH_PASSWORD=PASSWORD
    )
    assert done.returncode == 0, done.stderr
    assert "seen for the first time" in done.stderr
    assert f"ana: {SECRET}" in done.stdout
    streams = capture.streams()
    assert len(streams) == 4  # the first time it learns that there is a password
    for stream in streams.values():
        types = records(stream)
        assert types[0] == 22
        assert types.count(23) >= 2  # the end of the handshake, and what is said
        for said in (SECRET, PASSWORD, "welcome"):
            assert said.encode() not in stream

    # The same eyes see everything where that was asked for.
    capture = Capture(there)
    words[-1] = "ben"
    done = chatsh(
        tmp_path,
        "--no-tls",
        *words,
        text=f"/bc {SECRET}\n/quit\n",
        before=before,
        CHATSH_PASSWORD=PASSWORD,
    )
    assert (done.returncode, done.stderr) == (0, "")
    whole = b"".join(capture.streams().values())
    assert SECRET.encode() in whole
    assert PASSWORD.encode() in whole


# `python -c` that goes on as the words behind it, in a network of its own.
_WITHIN = (
    "import os, sys; os.execvp('ip', ['ip', 'netns', 'exec', '{}', sys.executable, *sys.argv[1:]])"
)
