"""Every error a peer may see, and the exceptions of the daemon by whose fault they are.

The numbers are those of `docs/protocol.md`, section 3; S4's 103 keeps its value.
"""

from __future__ import annotations

from enum import IntEnum
from math import ceil
from typing import NamedTuple


class ErrorCode(IntEnum):
    """The `error` field of an error on the wire."""

    BAD_LOGIN = 101
    PASSWORD_REQUIRED = 102
    ALREADY_LOGGED_IN = 103
    BAD_NAME = 104
    NAME_TAKEN = 105
    BANNED = 106
    TOO_MANY_TRIES = 107
    SERVER_FULL = 108
    BAD_VERSION = 109
    BAD_TOKEN = 110
    HELLO_FIRST = 111
    HELLO_TIMEOUT = 112
    TLS_REQUIRED = 113
    NOT_JSON = 201
    UNKNOWN_CODE = 202
    MISSING_FIELD = 203
    BAD_FIELD = 204
    TOO_LONG = 205
    HELLO_TWICE = 206
    NO_SUCH_USER = 301
    SELF_MESSAGE = 302
    EMPTY_MESSAGE = 303
    MESSAGE_TOO_LONG = 304
    INBOX_FULL = 305
    ID_REUSED = 308
    NO_SUCH_GROUP = 401
    NOT_MEMBER = 402
    NOT_OWNER = 403
    GROUP_NAME_TAKEN = 404
    NO_SUCH_MEMBER = 405
    ALREADY_MEMBER = 406
    GROUP_FULL = 407
    OWNER_MUST_HAND_OVER = 408
    TOO_FAST = 501
    NOT_READING = 502
    INTERNAL = 503
    SHUTTING_DOWN = 504
    STORAGE_FULL = 505
    NOT_PERMITTED = 506


class Fault(NamedTuple):
    """One row of the table: what the peer reads, and whether the connection ends with it."""

    text: str
    fatal: bool = False


FAULTS: dict[ErrorCode, Fault] = {
    ErrorCode.BAD_LOGIN: Fault("Unknown user or wrong password.", fatal=True),
    ErrorCode.PASSWORD_REQUIRED: Fault("This name needs a password.", fatal=True),
    ErrorCode.ALREADY_LOGGED_IN: Fault("{name} already has an open session.", fatal=True),
    ErrorCode.BAD_NAME: Fault("That name cannot be used: {why}.", fatal=True),
    ErrorCode.NAME_TAKEN: Fault("The name {name} is taken; choose another."),
    ErrorCode.BANNED: Fault("You are banned from this server.", fatal=True),
    ErrorCode.TOO_MANY_TRIES: Fault(
        "Too many failed log-ins; try again in {after} seconds.", fatal=True
    ),
    ErrorCode.SERVER_FULL: Fault(
        "The server is full, or has too many connections of your address; try again later.",
        fatal=True,
    ),
    ErrorCode.BAD_VERSION: Fault("This server speaks version {version} only.", fatal=True),
    ErrorCode.BAD_TOKEN: Fault("That token is not known; this is a fresh session."),
    ErrorCode.HELLO_FIRST: Fault('Say hello first: {{"code": "hello", "name": "..."}}'),
    ErrorCode.HELLO_TIMEOUT: Fault("No hello within {seconds:g} seconds.", fatal=True),
    ErrorCode.TLS_REQUIRED: Fault(
        "This server is spoken to in TLS alone; chatsh does so with --tls.", fatal=True
    ),
    ErrorCode.NOT_JSON: Fault("That is not a JSON object: {why}."),
    ErrorCode.UNKNOWN_CODE: Fault('The code "{code}" is not known here.'),
    ErrorCode.MISSING_FIELD: Fault('The field "{field}" is missing.'),
    ErrorCode.BAD_FIELD: Fault("A field cannot be used: {why}."),
    ErrorCode.TOO_LONG: Fault("One object may have at most {limit} bytes; the rest is skipped."),
    ErrorCode.HELLO_TWICE: Fault("You have said hello already."),
    # S1's line, byte for byte once the client has put "server: " before it.
    ErrorCode.NO_SUCH_USER: Fault('User "{name}" is not connected to the server.'),
    ErrorCode.SELF_MESSAGE: Fault("You cannot send a message to yourself."),
    ErrorCode.EMPTY_MESSAGE: Fault("An empty message cannot be sent."),
    ErrorCode.MESSAGE_TOO_LONG: Fault("A message may have at most {limit} bytes."),
    ErrorCode.INBOX_FULL: Fault("{name} has too many messages waiting; try again later."),
    ErrorCode.ID_REUSED: Fault("This id was used for another message."),
    ErrorCode.NO_SUCH_GROUP: Fault('There is no group "{group}".'),
    ErrorCode.NOT_MEMBER: Fault('You are no longer in the group "{group}".'),
    ErrorCode.NOT_OWNER: Fault('Only the owner of "{group}" may do that.'),
    ErrorCode.GROUP_NAME_TAKEN: Fault("The name {name} is taken; choose another."),
    ErrorCode.NO_SUCH_MEMBER: Fault('{name} is not in the group "{group}".'),
    ErrorCode.ALREADY_MEMBER: Fault('{name} is in the group "{group}" already.'),
    ErrorCode.GROUP_FULL: Fault("A group may have at most {limit} members."),
    ErrorCode.OWNER_MUST_HAND_OVER: Fault(
        'You own "{group}": make somebody else its owner first, or delete it.'
    ),
    ErrorCode.TOO_FAST: Fault(
        "Too fast: what you send next waits for {after:g} s; nothing of it is lost."
    ),
    ErrorCode.NOT_READING: Fault("You do not read what is sent to you.", fatal=True),
    ErrorCode.INTERNAL: Fault("An error of the server, noted as {reference}.", fatal=True),
    ErrorCode.SHUTTING_DOWN: Fault(
        "The server is shutting down; you have been logged off.", fatal=True
    ),
    ErrorCode.STORAGE_FULL: Fault("The message could not be stored and was not sent."),
    ErrorCode.NOT_PERMITTED: Fault("Only an operator may do that."),
}


class ChatError(Exception):
    """What can go wrong, by whose fault it is; anything else is a bug of ours."""


class PeerError(ChatError):
    """The other side's: answered with its code, and the end of the connection where fatal.

    `details` fill the text of the row and may add the fields `re`, `retry_after`, `to`, `limit`.
    """

    def __init__(self, code: ErrorCode, /, **details: str | float) -> None:
        super().__init__(FAULTS[code].text.format(**details))
        self.code = code
        self.details = details

    @classmethod
    def for_now(cls, code: ErrorCode, seconds: float) -> PeerError:
        """An error whose text and whose `retry_after` say for how many whole seconds it holds."""
        after = ceil(seconds)
        return cls(code, after=after, retry_after=after)


class StoreError(ChatError):
    """The disk's or the quorum's: nothing was written, the request may be repeated."""


class ConfigError(ChatError):
    """The operator's: one line on standard error, exit code 2, no traceback."""
