"""Exchanges: one mapping of clauses `WHO VERB`, what somebody does and everything that follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field, structs

from harness.checking import Checker, close, suggestion
from harness.errors import Place, ScenarioError
from harness.scope import names_captured, names_used
from harness.screen import StyleError, parse_style
from harness.values import COMPARISON, KEYS, SIGNALS
from harness.verbs import FORMS, MODIFIERS, SERVER, TABLE, Family, Verb
from harness.yaml_nodes import Value, read

GROUPS = ("everyone", "others")
NAMES = tuple(verb.name for verb in TABLE)
MOST_STEPS = 200_000
MOST_INCLUDES = 1_000
LONGEST_FIRST = sorted(FORMS, key=len, reverse=True)


class Clause(Struct, frozen=True):
    """One `WHO VERB: value`."""

    who: tuple[str, ...]
    verb: Verb
    value: Any
    place: Place
    text: str
    acting: frozenset[str] = frozenset()  # who acts in its exchange: `others` are the others
    node: Value | None = None  # the value with its places, for the checks


class Exchange(Struct):
    """What is done, and what must, may and must not follow."""

    clauses: list[Clause]
    place: Place
    within: float | None = None
    patience: float | None = None
    eventually: float | None = None
    checks: list[Value] = field(default_factory=list)  # comparisons
    when: list[Value] = field(default_factory=list)  # it happens only if all of these hold
    parts: list[int] = field(default_factory=list)  # `together`: how many clauses each part has
    name_choice: str = ""
    why: str = ""
    fenced: bool = True
    until_fence: bool = False  # `never` is over with the exchange
    local: dict[str, Any] = field(default_factory=dict)


class Mark(Struct):
    """A chapter of the scenario."""

    text: str
    place: Place


class Fence(Struct):
    """A step of its own that proves that nothing more is on its way."""

    who: tuple[str, ...]
    place: Place


class Pause(Struct):
    """A rest for those who watch, in a film; it proves nothing."""

    seconds: float
    place: Place


Step = Exchange | Mark | Fence | Pause


class Names(Struct):
    """What may be named in a file: filled by the loader, asked by the checks."""

    actors: dict[str, frozenset[str]]  # name -> kinds it may have
    phrases: Collection[str] = ()
    acts: Collection[str] = ()
    groups: Collection[str] = GROUPS
    captured: set[str] = field(default_factory=set)
    values: list[Value] = field(default_factory=list)  # to be checked when all captures are known
    unsure: set[str] = field(default_factory=set)  # captured by clauses that are wrong themselves
    all_actors: bool = True  # no: part of the cast could not be read
    complete: bool = True  # no: part of the file could not be read, so names may be missing
    film: bool = False  # pauses are welcome


class StepReader:
    """Reads steps, noting everything that is wrong with them."""

    def __init__(self, check: Checker, names: Names) -> None:
        self._check, self._names = check, names
        self._reading: tuple[Path, ...] = ()  # files that include the one being read
        self._includes = 0

    def steps(self, value: Value) -> list[Step]:
        """A list of exchanges and the few other steps."""
        found: list[Step] = []
        for item in self._check.listing(value, "steps"):
            found += self._step(item)
            if len(found) > MOST_STEPS:
                self._too_many(item.place)
                return found[:1]
        return found

    def _too_many(self, place: Place) -> None:
        self._check.wrong(
            place, f"more than {MOST_STEPS} steps", "repeat less often", code="too-many-steps"
        )

    def _step(self, item: Value) -> list[Step]:
        pairs = self._check.mapping(item, "a step")
        if item.kind == "mapping" and not pairs:
            self._check.wrong(
                item.place, "an empty step does nothing", "for example ana types: hello",
                code="empty",
            )  # fmt: skip
        item, word = self._special(item)
        if word:
            item = self._check.keys(item, BESIDE[word], f"key beside {word}")
            value = item.get(word)
            assert value is not None
            return list(getattr(self, SPECIAL[word])(item, value))
        return [self.exchange(item)] if pairs else []

    def _special(self, item: Value) -> tuple[Value, str]:
        """Which step it is that is no exchange, if any; a slip is told and taken as it is meant."""
        words = [str(key.data) for key, _ in item.pairs]
        for word in SPECIAL:
            if word in words and not (word == "fence" and len(words) > 1):
                return item, word
        for key, _ in item.pairs:
            meant = close(key.data, [*MODIFIERS, *SPECIAL])
            alone = " " not in str(key.data) and key.data not in (*MODIFIERS, *FORMS)
            if alone and meant in SPECIAL and (meant != "fence" or len(words) == 1):
                self._unknown_word(key, str(key.data))
                pairs = [
                    (Value(meant, k.place, "scalar"), v) if k is key else (k, v)
                    for k, v in item.pairs
                ]
                return Value(pairs, item.place, "mapping"), meant
        return item, ""

    def exchange(self, item: Value) -> Exchange:
        """One mapping of clauses and modifiers."""
        exchange = Exchange([], item.place)
        for key, value in item.pairs:
            if key.data in MODIFIERS:
                self._modifier(exchange, str(key.data), value)
            elif (clause := self._clause(key, value)) is not None:
                exchange.clauses.append(clause)
            else:
                self._names.unsure |= {name for name, _ in names_captured(value.plain())}
        acting = frozenset(
            who
            for clause in exchange.clauses
            if clause.verb.act and clause.verb.family is Family.ACT
            for who in clause.who
        )
        exchange.clauses = [structs.replace(c, acting=acting) for c in exchange.clauses]
        if exchange.name_choice:
            self._names.captured.add(exchange.name_choice)
        return exchange

    # Steps that are not exchanges.

    def _mark(self, _item: Value, value: Value) -> list[Step]:
        return [Mark(self._check.text(value, "mark"), value.place)]

    def _fence(self, _item: Value, value: Value) -> list[Step]:
        return [Fence(self._who(value, self._check.text(value, "fence"), None), value.place)]

    def _pause(self, item: Value, value: Value) -> list[Step]:
        seconds = self._check.duration(value, "pause")
        if not self._names.film:
            self._check.wrong(
                item.pairs[0][0].place, "a pause proves nothing",
                "fence: everyone waits for what is on its way; a film has tags: [film]",
                code="pause",
            )  # fmt: skip
        return [Pause(seconds or 0.0, value.place)]

    def _repeat(self, item: Value, value: Value) -> list[Step]:
        times, steps = value.data, item.get("steps")
        if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= 100_000:
            self._check.wrong(
                value.place, "repeat has to be a number from 1 to 100000", "for example repeat: 3"
            )
            times = 1
        if steps is None:
            self._check.wrong(
                item.place, "repeat needs steps", "repeat: 3, and below it steps:",
                code="missing-key",
            )  # fmt: skip
            return []
        self._names.captured.add("round")
        body = self.steps(steps)
        if times * len(body) > MOST_STEPS:
            self._too_many(value.place)
            times = 1
        return [_localised(step, {"round": n}) for n in range(1, times + 1) for step in body]

    def _together(self, item: Value, value: Value) -> list[Step]:
        beside = [pair for pair in item.pairs if pair[0].data != "together"]
        whole = self.exchange(Value(beside, item.place, "mapping"))
        for part in self._check.listing(value, "together"):
            for key, _ in self._check.mapping(part, "a part of together"):
                if key.data in MODIFIERS and key.data != "check":
                    self._check.wrong(
                        key.place, f"{key.data!r} inside together", "write it beside together",
                        code="modifier-inside-together",
                    )  # fmt: skip
            if part.kind == "mapping" and not part.pairs:
                self._check.wrong(
                    part.place, "an empty part does nothing", "for example ana types: hello",
                    code="empty",
                )  # fmt: skip
            read_part = self.exchange(part)
            whole.parts.append(len(read_part.clauses))
            whole.clauses += read_part.clauses
            whole.checks += read_part.checks
        if not whole.parts and value.kind == "list":
            self._check.wrong(
                value.place, "together of nothing", "a list of exchanges", code="empty"
            )
        return [whole]

    def _include(self, item: Value, value: Value) -> list[Step]:
        path = Path(value.place.file).parent / self._check.text(value, "include")
        local = self._given(item.get("vars"))
        self._names.captured |= set(local)
        self._includes += 1
        here = Path(value.place.file).resolve()
        if path.resolve() in (*self._reading, here):
            self._check.wrong(
                value.place, f"{path} includes itself", "put what is shared into a third file",
                code="include-cycle",
            )  # fmt: skip
            return []
        if self._includes > MOST_INCLUDES:
            self._too_many(value.place)
            return []
        steps = self._steps_of(path, value)
        if steps is None:
            self._names.complete = False
            return []
        self._reading = (*self._reading, here)
        found = [_localised(step, local) for step in self.steps(steps)]
        self._reading = self._reading[:-1]
        return found

    def _given(self, value: Value | None) -> dict[str, Any]:
        if value is None:
            return {}
        self._check.mapping(value, "vars")
        self._names.values.append(value)
        return dict(value.plain()) if value.kind == "mapping" else {}

    def _steps_of(self, path: Path, value: Value) -> Value | None:
        """The steps of an included file, or none: what is wrong with it is noted."""
        if not path.is_file():
            self._check.wrong(
                value.place, f"{path} is no file", "the path starts at this file's folder",
                code="no-include",
            )  # fmt: skip
            return None
        try:
            steps = read(path).get("steps")
        except ScenarioError as error:
            self._check.add(error.problems)
            return None
        if steps is None:
            self._check.wrong(
                Place(str(path)), "an included file needs steps", "steps: a list of exchanges",
                code="no-include",
            )  # fmt: skip
        return steps

    # Clauses.

    def _clause(self, key: Value, value: Value) -> Clause | None:
        text = " ".join(str(key.data).split())
        form = next((f for f in LONGEST_FIRST if text == f or text.endswith(f" {f}")), None)
        if form is None:
            self._unknown_verb(key, text)
            return None
        verb = FORMS[form]
        if text == form:
            self._check.wrong(
                key.place, f"{form!r} needs somebody before it",
                f"for example: {self._example()} {form}", code="nobody",
            )  # fmt: skip
            return None
        who = self._who(key, text.removesuffix(form).strip(), verb)
        self._check.fits(value, verb.value, f"what {text!r} is given")
        self._value(verb, who, value)
        self._names.values.append(value)
        self._names.captured |= self._check.captures(value)
        return Clause(who, verb, value.plain(), key.place, text, node=value)

    def _unknown_verb(self, key: Value, text: str) -> None:
        everybody = (*self._names.actors, *self._names.groups)
        words = text.split()
        while len(words) > 1 and (words[0].rstrip(",") in everybody or words[0].endswith(",")):
            words.pop(0)
        said = " ".join(words)
        if len(words) == len(text.split()) and len(words) == 1:
            self._unknown_word(key, said)
            return
        if len(words) == len(text.split()):
            said = " ".join(words[1:])
        self._check.wrong(
            key.at(said), f"unknown verb {said!r}", suggestion(said, NAMES), code="unknown-verb"
        )

    def _unknown_word(self, key: Value, said: str) -> None:
        self._check.wrong(
            key.place, f"unknown word {said!r}",
            NO_SLEEPS if said in SLEEPS else suggestion(said, [*MODIFIERS, *SPECIAL]),
            code="unknown-word",
        )  # fmt: skip

    def _example(self) -> str:
        return next(iter(self._names.actors), "ana")

    def _who(self, key: Value, text: str, verb: Verb | None) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(","))
        known = (*self._names.actors, *self._names.groups)
        for name in names:
            if name not in known and not self._names.all_actors:
                continue
            if name not in known:
                self._check.wrong(
                    key.at(name), f"unknown actor {name!r}", suggestion(name, known),
                    code="unknown-actor",
                )  # fmt: skip
            elif verb and name in self._names.actors:
                kinds = self._names.actors[name]
                if not kinds <= verb.who:
                    fit = ", ".join(sorted(verb.who))
                    self._check.wrong(
                        key.place,
                        f"{name} is a {'/'.join(sorted(kinds))}: {verb.name!r} is for {fit}",
                        suggestion("", [v.name for v in TABLE if kinds <= v.who]),
                        code="wrong-kind",
                    )
        return names

    def _value(self, verb: Verb, who: tuple[str, ...], value: Value) -> None:
        if verb.value in ("patterns", "maybe-patterns", "list") and value.data is not None:
            kinds = {kind for name in who for kind in self._names.actors.get(name, ())}
            for pattern in value.values:
                self._pattern(pattern, kinds)
        elif verb.value == "screen":
            for pattern in value.values:
                self._on_screen(pattern, verb)
        elif verb.value == "act":
            key = value.pairs[0][0] if value.pairs else value
            self._check.known(key, self._names.acts, "act", "unknown-act")
        elif any(names_used(value.plain())):
            return  # judged when they are filled in
        elif verb.value == "signal" and isinstance(value.data, str):
            self._check.known(value, SIGNALS, "signal", "unknown-signal")
        elif verb.value == "keys":
            for key in value.values:
                word = Value(str(key.data), key.place, "scalar")
                self._check.known(word, KEYS, "key", "unknown-keystroke")

    def _on_screen(self, value: Value, verb: Verb) -> None:
        """What may be on a screen: a pattern, a text in a style, all of it."""
        words = {str(key.data): inner for key, inner in value.pairs}
        if "snapshot" in words and verb.standing:
            self._check.wrong(value.place, "a snapshot is for shows", "name the text instead")
        elif "snapshot" in words:
            for key, _ in value.pairs:
                self._check.known(key, ("snapshot",), "key of a snapshot")
            self._check.text(words["snapshot"], "snapshot")
        elif "style" in words:
            for key, _ in value.pairs:
                self._check.known(key, ("text", "style"), "key of a styled text")
            self._style(words["style"])
            if "text" not in words:
                self._check.wrong(value.place, "a style needs the text that has it", "text: ...")
            else:
                self._pattern(words["text"], {"shell"})
        else:
            self._pattern(value, {"shell"})

    def _style(self, value: Value) -> None:
        text = self._check.text(value, "style")
        if not text or next(names_used(text), ""):
            return
        try:
            parse_style(text)
        except StyleError as error:
            what, _, allowed = str(error).partition(": ")
            self._check.wrong(value.place, what, allowed)

    def _pattern(self, value: Value, kinds: Collection[str]) -> None:
        if value.kind != "mapping" or not value.pairs:
            return
        key, inner = value.pairs[0]
        single = len(value.pairs) == 1
        if single and key.data == "re":
            self._check.regex(inner)
        elif single and key.data == "exactly":
            self._check.mapping(inner, "exactly")
        elif single and key.data in self._names.phrases:
            if inner.data is not None:
                self._check.mapping(inner, f"what phrase {key.data!r} is given")
        elif kinds and "wire" not in kinds:
            self._check.wrong(
                value.place,
                f"a frame is for sockets, not for a {'/'.join(sorted(kinds))}",
                suggestion(key.data, ["text", "re", *self._names.phrases]),
                code="unknown-phrase",
            )

    # Modifiers.

    def _modifier(self, exchange: Exchange, word: str, value: Value) -> None:
        if word in ("within", "patience", "eventually"):
            setattr(exchange, word, self._check.duration(value, word))
        elif word == "check":
            for item in value.values:
                self._comparison(item)
                exchange.checks.append(item)
        elif word == "when":
            for item in value.values:
                self._condition(item)
                exchange.when.append(item)
        elif word == "as":
            exchange.name_choice = self._check.text(value, word)
        elif word == "why":
            exchange.why = self._check.text(value, word)
        elif word == "until":
            exchange.until_fence = self._check.known(value, ("fence",), "end of never")
        elif value.data == "none":
            exchange.fenced = False
        else:
            self._check.wrong(
                value.place, f"fence cannot be {value.plain()!r} here", "allowed: none"
            )

    def _comparison(self, item: Value) -> None:
        if not isinstance(item.data, str) or not COMPARISON.match(item.data):
            self._check.wrong(
                item.place, "check has to be a comparison",
                "for example ${a} == ${b}; allowed: == != < <= > >=", code="not-a-comparison",
            )  # fmt: skip
        self._names.values.append(item)

    def _condition(self, item: Value) -> None:
        if not isinstance(item.data, str) or not next(names_used(item.data), ""):
            self._check.wrong(
                item.place, "when has to ask for a value that is captured",
                "for example ${a} (if it is not empty), or ${a} == yes", code="not-a-comparison",
            )  # fmt: skip
        self._names.values.append(item)


SLEEPS = ("sleep", "wait", "timeout", "delay")  # what other tools have
NO_SLEEPS = (
    "there are no sleeps: what has to come is waited for by itself, `within: 2s` is a promise to be"
    " that fast, and `fence: everyone` waits for all that is on its way"
)
SPECIAL = {
    "mark": "_mark",
    "repeat": "_repeat",
    "together": "_together",
    "include": "_include",
    "fence": "_fence",
    "pause": "_pause",
}
BESIDE = {  # the keys that such a step may have
    "mark": ("mark",),
    "repeat": ("repeat", "steps"),
    "together": ("together", "within", "patience", "check", "when", "why", "fence", "until"),
    "include": ("include", "vars"),
    "fence": ("fence",),
    "pause": ("pause",),
}


def _localised(step: Step, local: Mapping[str, Any]) -> Step:
    if not isinstance(step, Exchange) or not local:
        return step
    return structs.replace(step, local={**local, **step.local})


def kinds_of_server() -> dict[str, frozenset[str]]:
    """The server is an actor of every scenario."""
    return {SERVER: frozenset({SERVER})}
