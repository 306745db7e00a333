"""Tab completion: commands and what they take, the names of those who are here, one's groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from chatd.wire.text import harmless
from chatsh.grammar import (
    ANSWERS,
    BY_WORD,
    GROUP_FORMS,
    SEPARATORS,
    Command,
    Mode,
    Names,
    Situation,
    quoted,
)
from chatsh.settings import DEFAULT, NAMES, setting

_CALLED = re.compile(r"(?:^|\s)@([^@]*)$")  # names may hold blanks


class ChatCompleter(Completer):
    """Completes what the grammar knows. Runs in a worker thread: it reads snapshots only."""

    def __init__(self, situation: Callable[[], Situation]) -> None:
        self._situation = situation

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterator[Completion]:
        """What could stand where the cursor is."""
        now = self._situation()
        before = document.text_before_cursor.lstrip()
        word, blank, rest = before.partition(" ")
        called = _CALLED.search(before)
        if called and now.mode not in ANSWERS:
            yield from _matching(called[1], now.others, lambda name: name + " ")
        elif not before.startswith("/"):
            yield from _answers(before, now) if now.mode in ANSWERS else _addressees(before, now)
        elif not blank:
            yield from _commands(word, word)
        elif word.lower() == "/help":
            yield from _commands("/" + rest.removeprefix("/"), rest)
        elif word.lower() == "/group":
            yield from _group_forms(rest, now)
        elif word.lower() == "/set":
            yield from _settings(rest)
        elif word.lower() in BY_WORD:
            yield from _arguments(BY_WORD[word.lower()], rest, now)


def _arguments(command: Command, rest: str, now: Situation) -> Iterator[Completion]:
    people = now.others if Names.PERSON in command.takes else ()
    groups = now.groups if Names.GROUP in command.takes else ()
    yield from _matching(rest, (*people, *groups), _argument)
    for word in command.choices:
        if word.startswith(rest.lower()):
            yield Completion(word, -len(rest))


def _addressees(before: str, now: Situation) -> Iterator[Completion]:
    """At the beginning of a chat line a name is somebody to write to."""
    if before and not SEPARATORS.search(before):
        sign = "|" if now.mode is Mode.GENERAL else "~"
        yield from _matching(before, (*now.others, *now.groups), lambda name: name + sign)


def _answers(before: str, now: Situation) -> Iterator[Completion]:
    """The members of a new group, one behind the other."""
    if now.mode is Mode.GROUP_MEMBERS:
        begun = SEPARATORS.split(before)[-1].lstrip()
        if begun:
            yield from _matching(begun, now.others, lambda name: name + "~")


def _settings(rest: str) -> Iterator[Completion]:
    """`NAME VALUE`: what each does, then what it can be."""
    name, blank, value = rest.partition(" ")
    if blank and name in NAMES:
        words = [*setting(name).choices, DEFAULT]
        yield from (Completion(one, -len(value)) for one in words if one.startswith(value))
    elif not blank:
        for one in NAMES:
            if one.startswith(name.lower()):
                does = setting(one).does
                yield Completion(f"{one} ", -len(name), display=one, display_meta=does)


def _group_forms(rest: str, now: Situation) -> Iterator[Completion]:
    """`create GROUP NAME ...`: the word, then a group, then people."""
    form, blank, behind = rest.partition(" ")
    if not blank:
        for word in sorted(GROUP_FORMS):
            if word.startswith(form.lower()):
                yield Completion(f"{word} ", -len(form), display=word)
        return
    group, begun = _last_argument(behind)
    if group:
        yield from _matching(begun, now.others, _argument)
    elif form.lower() != "create":
        yield from _matching(begun, now.groups, _argument)


def _last_argument(text: str) -> tuple[str, str]:
    """What is complete, and the argument that is being typed, an open quote included."""
    opened = text.rfind('"') if text.count('"') % 2 else text.rfind(" ") + 1
    return text[:opened].strip(), text[opened:]


def _argument(name: str) -> str:
    return quoted(name) + " "


def _matching(begun: str, names: Iterable[str], form: Callable[[str], str]) -> Iterator[Completion]:
    start = begun.removeprefix('"').casefold()
    for name in sorted(names, key=str.casefold):
        # A name that a terminal cannot show as it is cannot be typed either.
        if name.casefold().startswith(start) and harmless(name) == name:
            yield Completion(form(name), -len(begun), display=name)


def _commands(start: str, typed: str) -> Iterator[Completion]:
    for word, command in sorted(BY_WORD.items()):
        if word.startswith(start.lower()):
            text = word + " " if command.form else word
            yield Completion(text, -len(typed), display=word, display_meta=command.does)
