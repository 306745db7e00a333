"""Thousands of lines come in while lines are typed, on each kind of terminal."""

import random

import pytest
from peers.flood import Flood, line_of
from peers.shells import PROMPT

ROUNDS, LINES = (
    20,
    500,
)  # in each round a shell of its own, for screens remember so much and no more
WORDS = ("a", "few", "words", "of", "any", "length,", "ü", "日本", "and-one-that-is-rather-long")
LEFT, HOME, END, RUBOUT, KILL, YANK = "\x1b[D", "\x01", "\x05", "\x7f", "\x0b", "\x19"
TERMINALS = {
    "xterm": {"TERM": "xterm-256color"},
    "dumb": {"TERM": "dumb"},
    "small": {"TERM": "xterm-256color", "size": (10, 40)},
}


class Typist:
    """Types words and edits them; knows what must stand there."""

    def __init__(self, terminal, chance: random.Random, *, edits: bool) -> None:
        self._terminal = terminal
        self._acts = [self._words]
        if edits:
            self._acts += [self._words, self._left, self._rub, self._kill, self._home]
        self._chance = chance
        self.before = self.behind = self._killed = ""

    @property
    def text(self) -> str:
        return self.before + self.behind

    def act(self) -> None:
        self._chance.choice(self._acts)()

    def enter(self) -> str:
        text, self.before, self.behind = self.text, "", ""
        self._terminal.type("\r")
        return text

    def _words(self) -> None:
        if len(self.text) < 120:
            word = self._chance.choice(WORDS)
            self._terminal.type(word)
            self.before += word

    def _left(self) -> None:
        steps = self._chance.randrange(len(self.before) + 1)
        self._terminal.type(LEFT * steps)
        self._split(len(self.before) - steps)

    def _rub(self) -> None:
        if self.before:
            self._terminal.type(RUBOUT)
            self.before = self.before[:-1]

    def _kill(self) -> None:
        """The rest of the line goes to its beginning."""
        if self.behind:
            self._terminal.type(KILL + HOME + YANK)
            self.before, self.behind = self.behind, self.before

    def _home(self) -> None:
        key = self._chance.choice((HOME, END))
        self._terminal.type(key)
        self._split(0 if key == HOME else len(self.text))

    def _split(self, at: int) -> None:
        self.before, self.behind = self.text[:at], self.text[at:]


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("kind", TERMINALS)
def test_none_is_missing_none_is_there_twice_and_what_is_typed_is_what_is_sent(
    shells, chatd, kind, seed
):
    chance = random.Random(seed)
    ann, ben = shells.log_in(chatd, "ann", **TERMINALS[kind]), Flood(shells, chatd, "ben")
    # A terminal without a cursor to move shows what is typed at the end, and nothing else.
    typist, sent = Typist(ann, chance, edits=kind != "dumb"), []
    while len(ben.lines) < LINES:
        typist.act()
        ben.burst(chance.randrange(1, 20))
        typist.act()
        ben.say(chance.randrange(5))
        shells.until(lambda: line_of(ann) == typist.text, f"the line {typist.text!r}")
        if kind != "dumb":  # there each line that comes draws the prompt anew, below it
            assert sum(row.startswith(PROMPT) for row in ann.rows) == len(sent) + 1
        if typist.text and chance.random() < 0.4:
            sent.append(typist.enter())
            shells.until(lambda: ben.heard == sent, "what was typed")
    ben.all_stand(ann)
