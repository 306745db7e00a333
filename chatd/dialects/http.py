"""HTTP/1.0 and 1.1 (RFC 9112), as far as it takes to ask for a page: one request, one answer, end.

A connection speaks it when its first bytes are a method and a blank: no JSON text begins so. What
stands behind the first request is not read, as `Connection: close` in its answer says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import Error, Message

MAX_HEAD = 8192  # bytes of a request line with its fields
METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ",
           b"CONNECT ")  # fmt: skip
TEXT = "text/plain; charset=utf-8"
REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
STATUS = {
    ErrorCode.HELLO_TIMEOUT: 408,
    ErrorCode.TLS_REQUIRED: 403,
    ErrorCode.SHUTTING_DOWN: 503,
}  # the others: 500

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_END = re.compile(rb"\r?\n\r?\n")
_HEAD = re.compile(
    rb"(?P<method>[A-Z]+) (?:https?://[^/?#\s]+)?(?P<path>/[!-~]*|\*) HTTP/1\.(?P<minor>[01])\r?\n"
    rb"(?P<fields>(?:" + _TOKEN + rb":[^\r\n\0]*+\r?\n)*+)\r?\n"
)
_HOST = re.compile(rb"^host:", re.IGNORECASE | re.MULTILINE)


class Request(NamedTuple):
    """What is asked for; or, where `wrong` is a status, why it cannot be."""

    method: str = "GET"
    path: str = ""  # without the query
    wrong: int = 0


def speaks_http(first: bytes) -> bool | None:
    """Whether a connection that begins with these bytes does; None where more must be seen."""
    if first and not first[:1].isupper():
        return False
    if first.startswith(METHODS):
        return True
    return None if any(method.startswith(first) for method in METHODS) else False


class HttpDialect:
    """The bytes of one connection to one request, and what the hub may tell it by itself."""

    def __init__(self, asked: Callable[[Request], None]) -> None:
        """`asked` gets the request, or what is wrong with it: exactly once."""
        self.encode = encode
        self._asked = asked
        self._head = bytearray()
        self.unfinished = True

    def receive(self, data: bytes) -> list[Message | PeerError]:
        """Bytes in; messages of the chat never come of them."""
        if self.unfinished:
            searched = max(0, len(self._head) - 3)
            self._head += data
            end = _END.search(self._head, searched, MAX_HEAD)
            if end:
                self._finish(read_head(bytes(self._head[: end.end()])))
            elif len(self._head) >= MAX_HEAD:
                self._finish(Request(wrong=431))
        return []

    def give_up(self) -> list[Message | PeerError]:
        """The time for an unfinished request is over."""
        if self.unfinished:
            self._finish(Request(wrong=408))
        return []

    def _finish(self, request: Request) -> None:
        self.unfinished = False
        self._head.clear()
        self._asked(request)


def read_head(head: bytes) -> Request:
    """A request line and its fields, up to the empty line and with it."""
    found = _HEAD.fullmatch(head)
    if found is None or (found["minor"] == b"1" and not _HOST.search(found["fields"])):
        return Request(wrong=400)
    path = found["path"].partition(b"?")[0]
    return Request(found["method"].decode(), path.decode())


def response(status: int, text: str | bytes, *, kind: str = TEXT, body: bool = True) -> bytes:
    """A whole answer; without its `body` for `HEAD`, which is told the length all the same."""
    content = text.encode() if isinstance(text, str) else text
    fields = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(content)}",
        "Cache-Control: no-store",
        "Connection: close",
        *(["Allow: GET, HEAD"] if status == 405 else []),
    ]
    head = "".join(f"{field}\r\n" for field in fields) + "\r\n"
    return head.encode() + (content if body else b"")


def encode(message: Message) -> bytes:
    """An error of the hub's ends the request; nothing else it says is for such a peer."""
    if not isinstance(message, Error):
        return b""
    return response(STATUS.get(ErrorCode(message.error), 500), message.text + "\n")
