"""Listening sockets: IPv4 and IPv6 on one port number."""

import errno
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from chatd.net import listen as module
from chatd.net.listen import listen, plain_address, source


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.fixture
def listening():
    with ExitStack() as stack:

        def begin(host, port=0):
            sockets = listen(host, port)
            for sock in sockets:
                stack.enter_context(sock)
            return sockets

        yield begin


def reach(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 30):
            return True
    except ConnectionRefusedError:
        return False


def test_a_free_port_is_found(listening):
    (sock,) = listening("127.0.0.1")
    port = sock.getsockname()[1]
    assert port > 0
    assert reach("127.0.0.1", port)


@needs_ipv6
def test_everywhere_is_ipv4_and_ipv6_on_one_port(listening):
    port = listening("")[0].getsockname()[1]
    assert reach("127.0.0.1", port)
    assert reach("::1", port)


@needs_ipv6
def test_a_name_with_two_addresses_is_listened_to_on_both_with_one_port(listening, monkeypatch):
    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_, **__: both)
    sockets = listening("both.example")
    monkeypatch.undo()
    assert len(sockets) == 2
    (port,) = {sock.getsockname()[1] for sock in sockets}
    assert reach("127.0.0.1", port)
    assert reach("::1", port)


def test_without_ipv6_it_is_ipv4_alone(listening, monkeypatch):
    real = socket.socket

    def no_ipv6(family=socket.AF_INET, *args, **more):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *args, **more)

    monkeypatch.setattr(module.socket, "socket", no_ipv6)
    (sock,) = listening("")
    assert sock.family == socket.AF_INET
    assert reach("127.0.0.1", sock.getsockname()[1])


@pytest.mark.parametrize("host", ["", "127.0.0.1"])
def test_a_port_in_use_is_an_error(listening, host: str):
    port = listening(host)[0].getsockname()[1]
    with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
        listen(host, port)


def test_an_address_of_another_machine_is_an_error():
    with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
        listen("192.0.2.1", 0)


def test_a_port_is_free_again_at_once_after_its_connections(listening):
    sockets = listening("127.0.0.1")
    port = sockets[0].getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    served, _ = sockets[0].accept()
    served.close()  # ours first: TIME_WAIT stays here
    client.close()
    sockets[0].close()
    listening("127.0.0.1", port)


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        (("127.0.0.1", 80), ("127.0.0.1", 80)),
        (("::ffff:10.1.2.3", 80, 0, 0), ("10.1.2.3", 80)),
        (("::1", 80, 0, 0), ("::1", 80)),
        (("fe80::1%eth0", 80, 0, 2), ("fe80::1%eth0", 80)),
    ],
)
def test_a_mapped_address_is_printed_as_ipv4(address, plain):
    assert plain_address(address) == plain


def test_the_limit_of_descriptors_is_raised_as_far_as_it_goes():
    program = (
        "import resource; from chatd.net.listen import raise_descriptor_limit as up;"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); up();"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("host", "whom"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::1", "::1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_limits_by_address_count_a_line_and_not_its_many_addresses(host: str, whom: str):
    assert source(host) == whom
