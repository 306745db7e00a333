"""Exchanges: one mapping of clauses `WHO VERB`, what somebody does and everything that follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field, structs

from harness.checking import Checker, suggestion
from harness.errors import Place
from harness.values import COMPARISON, KEYS, SIGNALS
from harness.verbs import FORMS, MODIFIERS, SERVER, TABLE, Family, Verb
from harness.yaml_nodes import Value, read

GROUPS = ("everyone", "others")
NAMES = tuple(verb.name for verb in TABLE)
LONGEST_FIRST = sorted(FORMS, key=len, reverse=True)


class Clause(Struct, frozen=True):
    """One `WHO VERB: value`."""

    who: tuple[str, ...]
    verb: Verb
    value: Any
    place: Place
    text: str
    acting: frozenset[str] = frozenset()  # who acts in its exchange: `others` are the others


class Exchange(Struct):
    """What is done, and what must, may and must not follow."""

    clauses: list[Clause]
    place: Place
    within: float | None = None
    patience: float | None = None
    checks: list[tuple[str, Place]] = field(default_factory=list)
    name_choice: str = ""
    why: str = ""
    fenced: bool = True
    local: dict[str, Any] = field(default_factory=dict)


class Mark(Struct):
    """A chapter of the scenario."""

    text: str
    place: Place


class Fence(Struct):
    """A step of its own that proves that nothing more is on its way."""

    who: tuple[str, ...]
    place: Place


Step = Exchange | Mark | Fence


class Names(Struct):
    """What may be named in a file: filled by the loader, asked by the checks."""

    actors: dict[str, frozenset[str]]  # name -> kinds it may have
    phrases: Collection[str] = ()
    acts: Collection[str] = ()
    groups: Collection[str] = GROUPS
    captured: set[str] = field(default_factory=set)
    values: list[Value] = field(default_factory=list)  # to be checked when all captures are known


class StepReader:
    """Reads steps, noting everything that is wrong with them."""

    def __init__(self, check: Checker, names: Names) -> None:
        self._check, self._names = check, names

    def steps(self, value: Value, *, depth: int = 0) -> list[Step]:
        """A list of exchanges and the few other steps."""
        found: list[Step] = []
        for item in self._check.listing(value, "steps"):
            found += self._step(item, depth)
        return found

    def _step(self, item: Value, depth: int) -> list[Step]:
        pairs = self._check.mapping(item, "a step")
        if item.kind == "mapping" and not pairs:
            self._check.wrong(item.place, "an empty step does nothing")
        for word, method in SPECIAL.items():
            value = item.get(word)
            if value is not None and not (word == "fence" and len(pairs) > 1):
                return list(getattr(self, method)(item, value, depth))
        return [self.exchange(item)] if pairs else []

    def exchange(self, item: Value) -> Exchange:
        """One mapping of clauses and modifiers."""
        exchange = Exchange([], item.place)
        for key, value in item.pairs:
            if key.data in MODIFIERS:
                self._modifier(exchange, str(key.data), value)
            elif (clause := self._clause(key, value)) is not None:
                exchange.clauses.append(clause)
        acting = frozenset(
            who
            for clause in exchange.clauses
            if clause.verb.act and clause.verb.family is Family.ACT
            for who in clause.who
        )
        exchange.clauses = [structs.replace(c, acting=acting) for c in exchange.clauses]
        self._contradictions(exchange)
        if exchange.name_choice:
            self._names.captured.add(exchange.name_choice)
        return exchange

    # Steps that are not exchanges.

    def _mark(self, _item: Value, value: Value, _depth: int) -> list[Step]:
        return [Mark(self._check.text(value, "mark"), value.place)]

    def _fence(self, _item: Value, value: Value, _depth: int) -> list[Step]:
        return [Fence(self._who(value, self._check.text(value, "fence"), None), value.place)]

    def _repeat(self, item: Value, value: Value, depth: int) -> list[Step]:
        times, steps = value.data, item.get("steps")
        for key, _ in item.pairs:
            self._check.known(key, ("repeat", "steps"), "key beside repeat")
        if not isinstance(times, int) or not 1 <= times <= 100_000:
            self._check.wrong(value.place, "repeat has to be a number from 1 to 100000")
            times = 1
        if steps is None:
            self._check.wrong(item.place, "repeat needs steps", "repeat: 3, and below it steps:")
            return []
        self._names.captured.add("round")
        body = self.steps(steps, depth=depth)
        return [_localised(step, {"round": n}) for n in range(1, times + 1) for step in body]

    def _together(self, _item: Value, value: Value, _depth: int) -> list[Step]:
        parts = [self.exchange(part) for part in self._check.listing(value, "together")]
        if not parts:
            return []
        merged = parts[0]
        for part in parts[1:]:
            merged.clauses += part.clauses
            merged.checks += part.checks
        return [merged]

    def _include(self, item: Value, value: Value, depth: int) -> list[Step]:
        for key, _ in item.pairs:
            self._check.known(key, ("include", "vars"), "key beside include")
        path = Path(value.place.file).parent / self._check.text(value, "include")
        if not path.is_file() or depth > 8:
            reason = "is no file" if depth <= 8 else "includes itself"
            self._check.wrong(
                value.place, f"{path} {reason}", "the path starts at this file's folder"
            )
            return []
        given = item.get("vars")
        local = given.plain() if given is not None and given.kind == "mapping" else {}
        self._names.captured |= set(local)
        steps = read(path).get("steps")
        if steps is None:
            self._check.wrong(Place(str(path)), "an included file needs steps")
            return []
        return [_localised(step, local) for step in self.steps(steps, depth=depth + 1)]

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
                key.place,
                f"{form!r} needs somebody before it",
                f"for example: {self._example()} {form}",
            )
            return None
        who = self._who(key, text.removesuffix(form).strip(), verb)
        self._check.fits(value, verb.value, f"what {text!r} is given")
        self._value(verb, who, value)
        self._names.values.append(value)
        self._names.captured |= self._check.captures(value)
        return Clause(who, verb, value.plain(), key.place, text)

    def _unknown_verb(self, key: Value, text: str) -> None:
        everybody = (*self._names.actors, *self._names.groups)
        words = text.split()
        while len(words) > 1 and (words[0].rstrip(",") in everybody or words[0].endswith(",")):
            words.pop(0)
        said = " ".join(words)
        if len(words) == len(text.split()) and len(words) == 1:
            self._check.wrong(
                key.place, f"unknown word {said!r}", suggestion(said, [*MODIFIERS, *SPECIAL])
            )
            return
        if len(words) == len(text.split()):
            said = " ".join(words[1:])
        self._check.wrong(key.place, f"unknown verb {said!r}", suggestion(said, NAMES))

    def _example(self) -> str:
        return next(iter(self._names.actors), "ana")

    def _who(self, key: Value, text: str, verb: Verb | None) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(","))
        known = (*self._names.actors, *self._names.groups)
        for name in names:
            if name not in known:
                self._check.wrong(key.place, f"unknown actor {name!r}", suggestion(name, known))
            elif verb and name in self._names.actors:
                kinds = self._names.actors[name]
                if not kinds <= verb.who:
                    fit = ", ".join(sorted(verb.who))
                    self._check.wrong(
                        key.place,
                        f"{name} is a {'/'.join(sorted(kinds))}: {verb.name!r} is for {fit}",
                        suggestion("", [v.name for v in TABLE if kinds <= v.who]),
                    )
        return names

    def _value(self, verb: Verb, who: tuple[str, ...], value: Value) -> None:
        if verb.value in ("patterns", "maybe-patterns", "list") and value.data is not None:
            kinds = {kind for name in who for kind in self._names.actors.get(name, ())}
            for pattern in value.values:
                self._pattern(pattern, kinds)
        elif verb.value == "act":
            key = value.pairs[0][0] if value.pairs else value
            self._check.known(key, self._names.acts, "act")
        elif verb.value == "signal" and isinstance(value.data, str):
            self._check.known(value, SIGNALS, "signal")
        elif verb.value == "keys":
            for key in value.values:
                self._check.known(Value(str(key.data), key.place, "scalar"), KEYS, "key")

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
            )

    # Modifiers.

    def _modifier(self, exchange: Exchange, word: str, value: Value) -> None:
        if word in ("within", "patience"):
            setattr(exchange, word, self._check.duration(value, word))
        elif word == "check":
            for item in value.values:
                if not isinstance(item.data, str) or not COMPARISON.match(item.data):
                    self._check.wrong(
                        item.place,
                        "check has to be a comparison",
                        "for example ${a} == ${b}; allowed: == != < <= > >=",
                    )
                exchange.checks.append((str(item.data), item.place))
                self._names.values.append(item)
        elif word == "as":
            exchange.name_choice = self._check.text(value, word)
        elif word == "why":
            exchange.why = self._check.text(value, word)
        elif value.data == "none":
            exchange.fenced = False
        else:
            self._check.wrong(
                value.place, f"fence cannot be {value.plain()!r} here", "allowed: none"
            )

    def _contradictions(self, exchange: Exchange) -> None:
        said = {
            (who, text): clause
            for clause in exchange.clauses
            if clause.verb.name in ("sees", "sees next", "sees only", "sees in any order")
            for who in clause.who
            for text in (clause.value if isinstance(clause.value, list) else [clause.value])
            if isinstance(text, str)
        }
        for clause in exchange.clauses:
            if clause.verb.name != "never sees":
                continue
            for text in clause.value if isinstance(clause.value, list) else [clause.value]:
                hit = next((t for w, t in said if w in clause.who and str(text) in t), None)
                if isinstance(text, str) and hit is not None:
                    self._check.wrong(
                        clause.place,
                        f"{text!r} is forbidden here, but {hit!r} expected",
                        "one of the two can never be true",
                    )


SPECIAL = {
    "mark": "_mark",
    "repeat": "_repeat",
    "together": "_together",
    "include": "_include",
    "fence": "_fence",
}


def _localised(step: Step, local: Mapping[str, Any]) -> Step:
    if not isinstance(step, Exchange) or not local:
        return step
    return structs.replace(step, local={**local, **step.local})


def kinds_of_server() -> dict[str, frozenset[str]]:
    """The server is an actor of every scenario."""
    return {SERVER: frozenset({SERVER})}
