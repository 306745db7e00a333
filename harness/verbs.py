"""The verbs of the language: one row each. Everything else that knows verbs reads this table."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from harness import acts, expect

SHELL, WIRE, PIPE, SERVER = "shell", "wire", "pipe", "server"
ANYBODY = frozenset({SHELL, WIRE, PIPE})
PROGRAM = frozenset({SHELL, PIPE, SERVER})


class Family(enum.Enum):
    """When a clause has its turn within an exchange."""

    QUESTION = "question"
    ACT = "act"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    TOLERANCE = "tolerance"
    END = "end"


class Verb(Struct, frozen=True):
    """A row of the table; `plural` is the form after several actors."""

    name: str
    plural: str
    family: Family
    who: frozenset[str]  # kinds of actors it is for
    value: str  # a row of `values.VALUES`
    meaning: str
    act: Callable[..., None] | None = None
    expectation: Callable[..., expect.Expectation] | None = None
    standing: bool = False  # judged to the end of the scenario
    ends: bool = False  # after it the actor cannot prove that the server has seen the act
    network: bool = False  # happens to the actor's way to the server, so that it proves nothing


def _act(
    name: str,
    plural: str,
    who: set[str] | frozenset[str],
    value: str,
    meaning: str,
    do: Callable[..., None],
    *,
    ends: bool = False,
    network: bool = False,
) -> Verb:
    return Verb(
        name, plural, Family.ACT, frozenset(who), value, meaning, act=do, ends=ends, network=network
    )


def _see(
    family: Family,
    name: str,
    plural: str,
    who: set[str] | frozenset[str],
    value: str,
    meaning: str,
    how: Callable[..., expect.Expectation] | None,
    *,
    standing: bool = False,
) -> Verb:
    return Verb(
        name, plural, family, frozenset(who), value, meaning, expectation=how, standing=standing
    )


POSITIVE, NEGATIVE, END = Family.POSITIVE, Family.NEGATIVE, Family.END

TABLE = (
    _act(
        "types",
        "type",
        PROGRAM,
        "line",
        "types a line and Enter; a pipe: writes it to the input",
        acts.types,
    ),
    _act("drafts", "draft", {SHELL}, "text", "types a text without Enter", acts.drafts),
    _act(
        "pastes",
        "paste",
        {SHELL},
        "text",
        "pastes a text, of one line or several, without Enter (bracketed, if the program asks)",
        acts.pastes,
    ),
    _act("presses", "press", {SHELL}, "keys", "presses keys such as [up, ctrl-c]", acts.presses),
    _act(
        "resizes",
        "resize",
        {SHELL},
        "size",
        "gives the terminal another size, 100x30",
        acts.resizes,
    ),
    _act("sends", "send", {WIRE}, "frame", "sends a frame, or a list of frames", acts.sends),
    _act(
        "sends bytes",
        "send bytes",
        {WIRE},
        "pieces",
        "sends bytes as they are: text, {hex: ..}, {repeat: x, times: n}; each piece one write;"
        " {every: 1s, bytes: ..}: a byte at a time",
        acts.sends_bytes,
    ),
    _act(
        "closes",
        "close",
        {WIRE, PIPE},
        "nothing",
        "closes the connection; a pipe: ends its input",
        acts.closes,
        ends=True,
    ),
    _act(
        "half-closes",
        "half-close",
        {WIRE},
        "nothing",
        "will send nothing more, but goes on reading",
        acts.half_closes,
        ends=True,
    ),
    _act(
        "resets",
        "reset",
        {WIRE},
        "nothing",
        "breaks the connection off (RST)",
        acts.resets,
        ends=True,
    ),
    _act(
        "stops reading",
        "stop reading",
        {WIRE},
        "nothing",
        "takes nothing more from the connection",
        acts.stops_reading,
        ends=True,
    ),
    _act("reads again", "read again", {WIRE}, "nothing", "goes on taking", acts.reads_again),
    _act(
        "does",
        "do",
        ANYBODY,
        "act",
        "does an act of the profile, so that one line serves shells and sockets",
        acts.does,
    ),
    _act(
        "joins",
        "join",
        ANYBODY,
        "nothing",
        "starts and logs in, not before the first step; again, once it has ended",
        acts.joins,
    ),
    _act(
        "leaves",
        "leave",
        ANYBODY,
        "nothing",
        "leaves politely: the profile's act `leave`, else Ctrl-D or a close",
        acts.leaves,
        ends=True,
    ),
    _act(
        "is killed",
        "are killed",
        PROGRAM,
        "signal",
        "gets SIGKILL, or the signal given",
        acts.is_killed,
        ends=True,
    ),
    _act(
        "is stopped",
        "are stopped",
        PROGRAM,
        "signal",
        "is asked to end: SIGTERM, or the signal given",
        acts.is_stopped,
        ends=True,
    ),
    _act(
        "is frozen",
        "are frozen",
        PROGRAM,
        "nothing",
        "is halted (SIGSTOP): alive, but does nothing",
        acts.is_frozen,
        ends=True,
    ),
    _act("is thawed", "are thawed", PROGRAM, "nothing", "goes on (SIGCONT)", acts.is_thawed),
    _act(
        "is restarted",
        "are restarted",
        {SERVER},
        "signal",
        "ends by the signal (TERM) and starts again: same port, same data",
        acts.is_restarted,
        ends=True,
    ),
    _act(
        "link is",
        "links are",
        ANYBODY,
        "link",
        "its way to the server is cut, broken off by a reset, frozen, slow, or restored",
        acts.link_is,
        network=True,
    ),
    _act(
        "disk is",
        "disks are",
        PROGRAM,
        "disk",
        "can write no file any more (full), or again (restored); Linux",
        acts.disk_is,
    ),
    Verb(
        "cannot join",
        "cannot join",
        END,
        ANYBODY,
        "maybe-patterns",
        "starts, is told this, and is not let in",
        acts.cannot_join,
        expect.CannotJoin,
    ),
    _see(
        Family.QUESTION,
        "is asked",
        "are asked",
        {SHELL},
        "text",
        "the unfinished last line is this question; what it types next is the answer",
        None,
    ),
    _see(
        POSITIVE,
        "sees",
        "see",
        ANYBODY,
        "patterns",
        "is told this; a list: in this order; other things may come in between",
        expect.Sees,
    ),
    _see(
        POSITIVE,
        "sees next",
        "see next",
        ANYBODY,
        "patterns",
        "is told this, and nothing in between",
        expect.SeesNext,
    ),
    _see(
        POSITIVE,
        "sees in any order",
        "see in any order",
        ANYBODY,
        "patterns",
        "is told all of these",
        expect.SeesAnyOrder,
    ),
    _see(
        POSITIVE,
        "sees one of",
        "see one of",
        ANYBODY,
        "list",
        "is told one of these; `as` names which",
        expect.SeesOneOf,
    ),
    _see(
        NEGATIVE,
        "sees only",
        "see only",
        ANYBODY,
        "patterns",
        "is told this and nothing else, from the first act to the fence",
        expect.SeesOnly,
    ),
    _see(
        POSITIVE,
        "shows",
        "show",
        {SHELL},
        "screen",
        "has these texts on the screen",
        expect.Shows,
    ),
    _see(
        NEGATIVE,
        "never sees",
        "never see",
        ANYBODY,
        "patterns",
        "is not told this, as a part of any line, until the scenario ends",
        expect.Never,
        standing=True,
    ),
    _see(
        NEGATIVE,
        "sees nothing",
        "see nothing",
        ANYBODY,
        "nothing",
        "is told nothing, from the first act to the fence",
        expect.SeesOnly,
    ),
    _see(
        NEGATIVE,
        "never shows",
        "never show",
        {SHELL},
        "screen",
        "does not have these texts on the screen, until the scenario ends",
        expect.NeverShows,
        standing=True,
    ),
    _see(
        Family.TOLERANCE,
        "may see",
        "may see",
        ANYBODY,
        "patterns",
        "allowed in spite of `sees only` and `sees nothing`",
        None,
    ),
    _see(
        END,
        "is closed",
        "are closed",
        ANYBODY,
        "how",
        "the connection or terminal is closed by the other side: fin, reset, or either",
        expect.IsClosed,
    ),
    _see(
        END, "exits", "exit", PROGRAM, "code", "the program ends, with this exit code", expect.Exits
    ),
    _see(
        NEGATIVE,
        "survives",
        "survive",
        PROGRAM,
        "nothing",
        "still runs when everything else is settled",
        expect.Survives,
    ),
    _see(POSITIVE, "prints", "print", {SERVER}, "patterns", "the server prints this", expect.Sees),
    _see(
        NEGATIVE,
        "never prints",
        "never print",
        {SERVER},
        "patterns",
        "the server does not print this, until the scenario ends",
        expect.Never,
        standing=True,
    ),
)

FORMS: dict[str, Verb] = {form: verb for verb in TABLE for form in (verb.name, verb.plural)}


MODIFIERS: dict[str, Any] = {
    "within": "the product promises to be this fast, from the act to the arrival (200ms, 2s)",
    "eventually": "it may take this long (2s): the exchange is played again until it holds",
    "patience": "give up after this time, if nothing else has decided (default 5s)",
    "check": "a comparison of captured values: ${a} == ${b}, or a list of them",
    "when": "the exchange happens only if this holds: ${a} == ${b}, or ${a} is not empty",
    "as": "a name for what `sees one of` chose",
    "why": "a text for the report",
    "until": "fence: what `never` forbids is forbidden in this exchange only",
    "fence": "none: do not prove that nothing more is coming",
}
