"""TLS below a connection, for peers whose first byte says so: a socket in place of the socket.

OpenSSL works on memory alone here (`ssl.MemoryBIO`), so that neither a handshake nor a record waits
for the network; what it wants to say goes the way of every other byte, through the outbox and at
the end of a turn. Bytes count as sent when their records are with the kernel: the bounds of an
outbox hold as they do without TLS.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Sequence
from socket import socket

HANDSHAKE = b"\x16"  # the first byte of a connection in TLS (RFC 8446, section 5.1)
VERSIONS = ("TLSv1.2", "TLSv1.3")  # that are spoken, as `ssl` names them
MOST = 65_536  # bytes encrypted at a time: four full records
OWED = 65_536  # bytes of answers (key updates) to a peer that asks for them and takes none

Context = ssl.SSLContext


class TlsError(ConnectionError):
    """The peer's bytes are not what its keys allow; the text begins with `tls: `."""

    @classmethod
    def of(cls, error: ssl.SSLError) -> TlsError:
        """What OpenSSL complains of, in words."""
        reason = error.reason or error.strerror or "failed"
        return cls(f"tls: {reason.replace('_', ' ').lower()}")


def server_context(certificate: str, key: str) -> Context:
    """TLS 1.2 and 1.3 with this certificate (PEM, with its chain) and its key.

    Raises `OSError` for files that cannot be read, `ssl.SSLError`, which is one too, for files
    that do not hold what they should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # nobody resumes; it would be more to send, and to keep
    context.load_cert_chain(certificate, key, password="")  # an encrypted key is not asked about
    return context


class TlsSocket:
    """As much of a socket as a connection uses. Errors are those of sockets, and `TlsError`."""

    __slots__ = (
        "_again",
        "_ended",
        "_greet",
        "_incoming",
        "_outgoing",
        "_owed",
        "_owing",
        "_shut",
        "_sock",
        "_succeeded",
        "_tls",
        "_unsent",
        "handshaking",
        "its_turn",
    )

    def __init__(
        self,
        sock: socket,
        context: Context,
        first: bytes,
        *,
        greet: Callable[[], None],
        owing: Callable[[], None],
        again: Callable[[], None],
        succeeded: Callable[[str], None],
    ) -> None:
        """`first` is what was read of it already.

        `greet` is called where a step of the handshake waits: for `recv`, when `its_turn` is set.
        `owing` is called where `send` is to be, if only with nothing; `again` where `recv` is,
        though nothing more may come; `succeeded` with the version (`TLSv1.3`) when the handshake is
        done.
        """
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(first)
        self._greet = greet
        self._owing = owing
        self._again = again
        self._succeeded = succeeded
        self._unsent = b""  # records on their way to the kernel
        self._owed = 0  # bytes of the caller that these, and those behind them, are made of
        self._ended = False  # the peer has said that it says no more
        self._shut = False  # we have
        self.handshaking = True
        self.its_turn = False
        greet()

    def fileno(self) -> int:
        """For selectors."""
        return self._sock.fileno()

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """As of the socket below."""
        self._sock.setsockopt(level, name, value)

    # --- reading --------------------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        """What the peer says, b"" at its end; raises `BlockingIOError` where that is nothing yet.

        A FIN is an end too, as it is without TLS: our frames say themselves where they end.
        """
        if self._shut:
            return self._sock.recv(size)  # whoever has hung up throws it away
        if self._ended:
            return b""
        if not self._incoming.pending and not self._fetch(size):
            return b""
        if self.handshaking and not self.its_turn:
            raise BlockingIOError
        self.its_turn = False
        plain, ended = self._decrypt()
        if self._outgoing.pending:
            self._answer()
        if ended:
            self._ended = True
            self._again()
        if not plain:
            raise BlockingIOError
        return plain

    def _fetch(self, size: int) -> bool:
        """Take records from the kernel; False at the end of the stream."""
        data = self._sock.recv(size)
        if data:
            self._incoming.write(data)
            if self.handshaking:
                self._greet()
        return bool(data)

    def _answer(self) -> None:
        """What the peer's bytes ask for is written at the end of this turn."""
        self._owing()
        if self._outgoing.pending > OWED:
            raise TlsError("tls: the peer does not take the answers that it asks for")

    def _decrypt(self) -> tuple[bytes, bool]:
        """What the records hold, and whether they end the stream."""
        pieces: list[bytes] = []
        try:
            if self.handshaking:
                self._tls.do_handshake()
                self.handshaking = False
                self._succeeded(str(self._tls.version()))
            while piece := self._tls.read(MOST):
                pieces.append(piece)
            return b"".join(pieces), True  # close_notify
        except ssl.SSLWantReadError:
            return b"".join(pieces), False
        except ssl.SSLError as error:
            raise TlsError.of(error) from error

    # --- writing --------------------------------------------------------------------------------

    def send(self, data: bytes) -> int:
        """How much of it is with the kernel, as records; raises `BlockingIOError` before that.

        Then it has to be called again with the same bytes, and whatever has come behind them.
        """
        if not self._owed and data:
            self._owed = self._encrypt(data[:MOST])
        self._flush()
        sent, self._owed = self._owed, 0
        return sent

    def sendmsg(self, pieces: Sequence[bytes]) -> int:
        """The same for all of them together."""
        size = at = 0
        while at < len(pieces) and size < MOST:
            size += len(pieces[at])
            at += 1
        return self.send(b"".join(pieces[:at]))

    def _encrypt(self, data: bytes) -> int:
        if self.handshaking:
            return len(data)  # last words, to one who could not read them
        try:
            return self._tls.write(data)
        except ssl.SSLError as error:
            raise TlsError.of(error) from error

    def _flush(self) -> None:
        """Give the kernel what there is. Raises `BlockingIOError` where it does not take all."""
        while self._unsent or self._outgoing.pending:
            self._unsent = self._unsent or self._outgoing.read()
            self._unsent = self._unsent[self._sock.send(self._unsent) :]

    # --- ending ---------------------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        """Say that nothing more will come: to the peer's TLS, and to its kernel."""
        self._say_the_end()
        self._sock.shutdown(how)

    def close(self) -> None:
        """The same, and free the socket."""
        self._say_the_end()
        self._greet = self._owing = self._again = _nothing  # they know who uses us
        self._sock.close()

    def _say_the_end(self) -> None:
        """As far as it goes without waiting: close_notify, or the alert of what went wrong."""
        if self._shut:
            return
        self._shut = True
        with contextlib.suppress(ssl.SSLError):  # it wants to hear the other's, too
            if not self.handshaking:
                self._tls.unwrap()
        with contextlib.suppress(OSError):
            self._flush()


def _nothing() -> None:
    pass
