"""TLS on a connected socket, for one thread that reads and others that write.

OpenSSL is asked under a lock and works on memory alone, for it knows nothing of threads; what is
waited for is waited for outside of it. Whose certificate it is, is the business of `chatsh.known`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

from chatd.wire.text import fingerprint
from chatsh.sockets import readable

CHUNK = 65_536


class HandshakeError(Exception):
    """It has come to nothing: the text says how; `heard` is what the server said."""

    def __init__(self, why: str, heard: bytes) -> None:
        super().__init__(why)
        self.heard = heard


class SecureSocket:
    """As much of a socket as a link uses. Where TLS is broken, it raises `OSError`."""

    def __init__(self, sock: socket.socket, host: str, clock: Callable[[], float]) -> None:
        self._sock = sock
        self._clock = clock
        self._timeout = 0.0
        self._lock = threading.Lock()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if ":" in host else host or None
        self._tls = _context().wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def shake_hands(self, timeout: float) -> str:
        """Come to terms with the server; the fingerprint of its certificate.

        Raises `HandshakeError` and `OSError`, `TimeoutError` among them.
        """
        heard, deadline = b"", self._clock() + timeout
        self._sock.settimeout(timeout)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError as error:
                raise HandshakeError(_reason(error), heard) from error
            else:
                break
            data = self._fetch(deadline)
            if not data:
                raise HandshakeError("it closed the connection", heard)
            heard = (heard + data)[:CHUNK]
        self._flush()
        return fingerprint(self._tls.getpeercert(binary_form=True) or b"")

    def settimeout(self, seconds: float) -> None:
        """For all of a call, however many pieces come within it."""
        self._timeout = seconds
        self._sock.settimeout(seconds)

    def recv(self, size: int, timeout: float | None = None) -> bytes:
        """What the server says, b"" at its end, in so many seconds. Raises `TimeoutError`."""
        deadline = self._clock() + (self._timeout if timeout is None else timeout)
        while True:
            with self._lock:
                data = self._decrypt(size)
            if data is not None:
                return data
            if not self._fetch(deadline):
                return b""

    def _decrypt(self, size: int) -> bytes | None:
        """What is there, None where that is no whole record; answers what has to be answered."""
        try:
            return self._tls.read(size)
        except ssl.SSLWantReadError:
            return None
        finally:
            self._flush()

    def _fetch(self, deadline: float) -> bytes:
        if not readable(self._sock, max(0.0, deadline - self._clock())):
            raise TimeoutError("timed out")
        data = self._sock.recv(CHUNK)
        with self._lock:
            self._incoming.write(data)
        return data

    def sendall(self, data: bytes) -> None:
        """Everything, or `OSError`, `TimeoutError` among them."""
        with self._lock:
            while data:
                data = data[self._tls.write(data) :]
            self._flush()

    def shutdown(self, how: int) -> None:
        """Say that no more will come; raises `OSError` where nobody can be told.

        Where nothing is to be heard either, nothing is said: the other end may not listen.
        """
        try:
            if how != socket.SHUT_RDWR:
                self._say_the_end()
        finally:
            self._sock.shutdown(how)

    def _say_the_end(self) -> None:
        with self._lock:
            with contextlib.suppress(ssl.SSLError):  # the other end has not said it
                self._tls.unwrap()
            self._flush()

    def close(self) -> None:
        """Free the socket."""
        self._sock.close()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._sock.sendall(data)


def _context() -> ssl.SSLContext:
    """Nobody vouches for a certificate: what matters is that it is the same as before."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "failed").replace("_", " ").lower()
