"""The order of things, before anything runs: who is there when, and what is known when.

The exchanges are gone through as they would be played. An actor is out until it joins, and gone
once it was killed, has left or was seen to end. A name has a value once somebody has captured it.
What depends on a condition (`when`) counts as possible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct, field

from harness.checking import Checker, locate, suggestion
from harness.contradictions import Contradictions
from harness.errors import Place
from harness.scope import names_captured, names_used
from harness.steps import Clause, Exchange, Step
from harness.verbs import SERVER, Family
from harness.yaml_nodes import Value

JOINING = ("joins", "cannot join")
COMING = (*JOINING, "is restarted")
AFTER_THE_END = ("exits", "is closed", *COMING)  # may be said of somebody who is gone
FATAL = (None, "KILL")  # signals that nobody survives
ROUNDS = 3  # a repeated exchange is looked at so often: after two nothing new can come


class Known(Struct):
    """What the file says about names, apart from the order."""

    always: Collection[str]  # values of the file: they need no capture
    heads: Collection[str]  # values of the file with fields
    unsure: Collection[str]  # captured by clauses that are wrong themselves
    login: Collection[str]  # captured by everybody who joins
    ever: Collection[str]  # captured by anybody, anywhere


class Party(Struct):
    """An actor as far as it is known by reading."""

    kinds: frozenset[str]
    state: str = "in"  # out, in, gone
    why: str = ""  # it is gone: what was said, and in which line
    told: bool = False  # that it is not there: once is enough
    bound: set[str] = field(default_factory=set)


class Flow:
    """Goes through the steps; `check` is told what cannot be."""

    def __init__(self, check: Checker, actors: Mapping[str, frozenset[str]], known: Known) -> None:
        self._check, self._known = check, known
        self._parties = {name: Party(kinds) for name, kinds in actors.items()}
        self._contradictions = Contradictions(check)
        self._rounds: Counter[int] = Counter()
        self._quiet = False  # in later rounds only the effects count

    def play(self, steps: Iterable[Step], cleanup: Iterable[Step]) -> None:
        """All exchanges, in their order."""
        exchanges = [step for step in steps if isinstance(step, Exchange)]
        later = {
            who
            for exchange in exchanges
            for clause in exchange.clauses
            if clause.verb.name in JOINING
            for who in clause.who
        }
        for name, party in self._parties.items():
            if name in later:
                party.state = "out"
            elif name != SERVER:
                party.bound |= {"name", *self._known.login}
        for exchange in (*exchanges, *(s for s in cleanup if isinstance(s, Exchange))):
            self._exchange(exchange)

    def _exchange(self, exchange: Exchange) -> None:
        self._rounds[id(exchange.clauses)] += 1
        rounds = self._rounds[id(exchange.clauses)]
        self._quiet = rounds > ROUNDS
        before = {name: party.state for name, party in self._parties.items()}
        for condition in exchange.when:
            self._names(condition, exchange, [_first(exchange)])
        for clause in exchange.clauses:
            if clause.verb.family is Family.QUESTION:
                self._present(clause, self._parties_of(clause), before)
                self._names(clause.node, exchange, self._who(clause))
        for clause in exchange.clauses:
            if clause.verb.act is not None:
                self._act(clause, exchange)
        who = {number: self._who(clause) for number, clause in enumerate(exchange.clauses)}
        if rounds <= 2:
            self._contradictions.look(exchange, who)
        self._expectations(exchange, before, who)
        for item in exchange.checks:
            self._names(item, exchange, [_first(exchange)])
        if exchange.when:
            self._perhaps_not(before)

    def _perhaps_not(self, before: Mapping[str, str]) -> None:
        """A condition may not have held: nobody is gone for sure."""
        for name, party in self._parties.items():
            if party.state == "gone" and before[name] != "gone":
                party.state = "in"

    # Who is there.

    def _who(self, clause: Clause) -> list[str]:
        """Whom a clause is about, groups resolved to those who are there for sure."""
        found: list[str] = []
        for name in clause.who:
            if name in self._parties:
                found.append(name)
                continue
            away = clause.acting if name == "others" else frozenset()
            found += [
                other
                for other, party in self._parties.items()
                if name in ("everyone", "others") and party.state == "in" and other != SERVER
                and other not in (*away, *found) and party.kinds <= clause.verb.who
            ]  # fmt: skip
        return found

    def _parties_of(self, clause: Clause) -> list[tuple[str, Party]]:
        """Those who are called by their names."""
        return [(name, self._parties[name]) for name in clause.who if name in self._parties]

    def _act(self, clause: Clause, exchange: Exchange) -> None:
        verb = clause.verb.name
        for name, party in self._parties_of(clause):
            if verb in COMING:
                party.state, party.why, party.told = "in", "", False
                party.bound |= {"name", *self._known.login} if name != SERVER else set()
        self._names(clause.node, exchange, self._who(clause))
        states = {name: party.state for name, party in self._parties.items()}
        self._present(clause, self._parties_of(clause), states)
        for _, party in self._parties_of(clause):
            if self._ends(clause, party):
                party.state, party.why = "gone", f"{verb}, line {clause.place.line}"

    @staticmethod
    def _ends(clause: Clause, party: Party) -> bool:
        verb = clause.verb.name
        if verb == "is killed":
            return clause.value in FATAL
        if verb == "closes":
            return party.kinds == {"wire"}
        return verb in ("leaves", "resets")

    def _present(
        self, clause: Clause, parties: Iterable[tuple[str, Party]], states: Mapping[str, str]
    ) -> None:
        for name, party in parties:
            asked = clause.verb.family is Family.QUESTION
            if party.told or clause.verb.network:
                continue
            if states[name] == "out" and (party.state == "out" or asked):
                first = "questions come first: begin a new exchange with '- '" if asked else ""
                help_ = first or f"let it join before: {name} joins:"
                self._away(party, clause, f"{name} has not joined yet", help_, "not-there-yet")
            elif states[name] == "gone" and clause.verb.name not in AFTER_THE_END:
                help_ = "say it before, in the same exchange, or let it join again"
                self._away(party, clause, f"{name} is gone ({party.why})", help_, "gone")

    def _away(self, party: Party, clause: Clause, text: str, help_: str, code: str) -> None:
        party.told = True
        self._wrong(clause.place, text, help_, code)

    def _expectations(
        self, exchange: Exchange, before: Mapping[str, str], who: Mapping[int, list[str]]
    ) -> None:
        rest = [
            (clause, who[number])
            for number, clause in enumerate(exchange.clauses)
            if clause.verb.family not in (Family.ACT, Family.QUESTION)
        ]
        found: dict[str, set[str]] = {}
        for clause, names in rest:
            for name in names:
                found.setdefault(name, set()).update(n for n, _ in names_captured(clause.value))
        for clause, names in rest:
            states = {name: self._during(name, before) for name in names}
            self._present(clause, self._parties_of(clause), states)
            self._names(clause.node, exchange, names, found)
        for name, captured in found.items():
            self._parties[name].bound |= captured
        for clause, names in rest:
            for name in names:
                if exchange.name_choice and clause.verb.name == "sees one of":
                    self._parties[name].bound.add(exchange.name_choice)
                if clause.verb.name in ("exits", "is closed", "cannot join"):
                    party = self._parties[name]
                    party.state = "gone"
                    party.why = f"{clause.verb.name}, line {clause.place.line}"

    def _during(self, name: str, before: Mapping[str, str]) -> str:
        """Who left in this exchange may be spoken of in it."""
        state = self._parties[name].state
        return state if state == before[name] else "in"

    # What is known.

    def _names(
        self,
        value: Value | None,
        exchange: Exchange,
        who: Iterable[str],
        now: Mapping[str, set[str]] | None = None,
    ) -> None:
        """Whether each name has a value; `now`: captured in this exchange, by actor."""
        if value is None or self._quiet:
            return
        for item in value.values:
            lazy = item.kind == "mapping"  # a frame's names are asked for when one has come
            own = {name for name, _ in names_captured(item.plain())}
            for name in names_used(item.plain()):
                for actor in list(who) or [""]:
                    extra = own | ((now or {}).get(actor, set()) if lazy else set())
                    if not self._has(name, actor, exchange, extra):
                        self._unknown(locate(item, f"${{{name}}}"), name, actor)
                        break

    def _has(self, name: str, actor: str, exchange: Exchange, extra: Collection[str]) -> bool:
        known = self._known
        head, dot, rest = name.partition(".")
        if name in exchange.local or name in known.always or name in known.unsure or name in extra:
            return True
        if dot:
            if head in known.heads or head in exchange.local or head == SERVER:
                return True
            party = self._parties.get(head)
            word = rest.partition(".")[0]
            return party is None or word in party.bound or word in known.unsure
        if name not in known.ever:
            return True  # is never set: told elsewhere
        party = self._parties.get(actor)
        return (party is not None and name in party.bound) or len(self._owners(name)) == 1

    def _owners(self, name: str) -> list[str]:
        return [who for who, party in self._parties.items() if name in party.bound]

    def _unknown(self, place: Place, name: str, actor: str) -> None:
        head, _, rest = name.partition(".")
        owners = self._owners(rest or name)
        if rest and rest not in self._known.ever:
            bound = sorted(self._parties[head].bound)
            choices = [f"{head}.{word}" for word in bound]
            self._wrong(place, f"${{{name}}} is never set", suggestion(name, choices), "never-set")
        elif rest or not owners:
            whose = head if rest else "nobody"
            what = f"{whose} has captured it" if not rest else f"{whose} has not captured it"
            self._wrong(place, f"${{{name}}} has no value yet: {what} before this", "capture it in "
                        "an exchange before this one", "used-before-capture")  # fmt: skip
        else:
            choices = [f"${{{owner}.{name}}}" for owner in owners]
            self._wrong(place, f"${{{name}}} was captured by {' and '.join(owners)}",
                        f"write {' or '.join(choices)}", "ambiguous-name")  # fmt: skip

    def _wrong(self, place: Place, text: str, help_: str, code: str) -> None:
        if not self._quiet:
            self._check.wrong(place, text, help_, code=code)


def _first(exchange: Exchange) -> str:
    return next((who for clause in exchange.clauses for who in clause.who), "")
