"""Tab completion: commands, and the names of those who are here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from chatd.wire.text import harmless
from chatsh.grammar import BY_WORD, SEPARATORS, Mode, quoted


class ChatCompleter(Completer):
    """Completes what the grammar knows. Runs in a worker thread: it reads snapshots only."""

    def __init__(self, names: Callable[[], Iterable[str]], mode: Callable[[], Mode]) -> None:
        self._names = names
        self._mode = mode

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterator[Completion]:
        """What could stand where the cursor is."""
        before = document.text_before_cursor.lstrip()
        word, blank, rest = before.partition(" ")
        if not before.startswith("/"):
            yield from self._addressees(before)
        elif not blank:
            yield from _commands(word, word)
        elif word.lower() == "/help":
            yield from _commands("/" + rest.removeprefix("/"), rest)
        elif word.lower() in BY_WORD and BY_WORD[word.lower()].takes_name:
            yield from self._matching(rest, lambda name: quoted(name) + " ")

    def _addressees(self, before: str) -> Iterator[Completion]:
        """At the beginning of a chat line a name is somebody to write to."""
        if before and not SEPARATORS.search(before):
            sign = "~" if self._mode() is Mode.DIRECT else "|"
            yield from self._matching(before, lambda name: name + sign)

    def _matching(self, begun: str, form: Callable[[str], str]) -> Iterator[Completion]:
        start = begun.removeprefix('"').casefold()
        for name in sorted(self._names(), key=str.casefold):
            # A name that a terminal cannot show as it is cannot be typed either.
            if name.casefold().startswith(start) and harmless(name) == name:
                yield Completion(form(name), -len(begun), display=name)


def _commands(start: str, typed: str) -> Iterator[Completion]:
    for word, command in sorted(BY_WORD.items()):
        if word.startswith(start.lower()):
            text = word + " " if command.form else word
            yield Completion(text, -len(typed), display=word, display_meta=command.does)
