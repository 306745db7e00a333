"""`--accept`: what came instead becomes what is expected, in its own place of the file.

Only the scalar that differs is written anew; every other byte of the file stays. What was written
is tried at once: a scenario is played again until it passes, until there is nothing to accept, or
until the same value would have to be written twice. Then it is not the same every time, or not for
everybody, and the file is as it was before.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from harness.errors import Place
from harness.fmt import escaped
from harness.language import load_scenario
from harness.pool import Job, run_isolated
from harness.proposals import CannotBeAcceptedError, Changes, Offer, Rewritten
from harness.report import clean
from harness.run import Options
from harness.runner import Outcome

MOST = 50  # values accepted in one scenario; what needs more is another scenario
TEXT = "tag:yaml.org,2002:str"
AGAIN = "it is not the same each time, or not for everybody: write ..., a capture, two clauses"


class Accepted(Struct):
    """A scenario after everything in it was accepted that can be."""

    outcomes: list[Outcome]  # of its runs, as they are now
    written: dict[str, str] = field(default_factory=dict)  # file -> its text before
    made: set[str] = field(default_factory=set)  # files that were not there
    refused: list[str] = field(default_factory=list)  # what is not accepted, and why

    def diff(self) -> Iterator[str]:
        """The lines of a diff of all that was written."""
        for name, before in self.written.items():
            after = _text(Path(name))
            old = "/dev/null" if name in self.made else name
            rows = difflib.unified_diff(
                before.splitlines(), after.splitlines(), old, name, lineterm=""
            )
            yield from map(clean, rows)


def accept(
    jobs: Sequence[Job], options: Options, profile: Path | None, said: Callable[[], None]
) -> Iterator[Accepted]:
    """Every scenario of the jobs, accepted; `said` is called after each run."""
    paths = dict.fromkeys(job.scenario.path for job in jobs)
    for path in paths:
        mine = [job for job in jobs if job.scenario.path == path]
        yield _Scenario(mine, options, profile, said).accept()


class _Scenario:
    """One scenario, some of its rows."""

    def __init__(
        self, jobs: list[Job], options: Options, profile: Path | None, said: Callable[[], None]
    ) -> None:
        self._jobs, self._options, self._profile, self._said = jobs, options, profile, said
        self._result = Accepted([])
        self._before: dict[tuple[Place, int], dict[str, str]] = {}  # clause -> the files then

    def accept(self) -> Accepted:
        """Play, write, and play again."""
        for _ in range(MOST + 1):
            self._result.outcomes = outcomes = self._play()
            offer = next((o.offer for o in outcomes if o.offer is not None), None)
            if offer is None or not self._take(offer):
                break
            scenario = load_scenario(Path(self._jobs[0].scenario.path), profile=self._profile)
            self._jobs = [Job(scenario, job.row, job.options) for job in self._jobs]
        return self._result

    def _play(self) -> list[Outcome]:
        outcomes = []
        for job in self._jobs:
            outcomes.append(run_isolated(job, self._options))
            self._said()
        return outcomes

    def _take(self, offer: Offer) -> bool:
        """Write what is offered; false if that is not to be."""
        for one in offer.files:
            self._remember(one)
        try:
            if offer.why_not:
                raise CannotBeAcceptedError(offer.why_not)
            self._is_new(offer)
            if not offer.files:
                self._write(offer)
        except CannotBeAcceptedError as error:
            self._result.refused.append(f"{offer.place}: not accepted: {error}")
            return False
        return True

    def _remember(self, one: Rewritten) -> None:
        self._result.written.setdefault(one.path, one.before or "")
        if one.before is None:
            self._result.made.add(one.path)

    def _is_new(self, offer: Offer) -> None:
        """What was written already did not hold: everything since then is taken back."""
        key = (offer.place, offer.number)
        if key in self._before:
            for name, text in self._before[key].items():
                _put(Path(name), text)
            raise CannotBeAcceptedError(AGAIN)
        files = [*self._result.written, offer.place.file]
        self._before[key] = {
            name: _text(Path(name)) for name in files if name not in self._result.made
        }

    def _write(self, offer: Offer) -> None:
        path = Path(offer.place.file)
        _is_used_once(path, Path(self._jobs[0].scenario.path))
        before = _text(path)
        after = rewritten(before, offer.place, offer.number, offer.changes)
        self._result.written.setdefault(str(path), before)
        _put(path, after)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _put(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))


def _is_used_once(path: Path, scenario: Path) -> None:
    """A file that is included is changed only if nobody else counts on what it says."""
    if path.resolve() == scenario.resolve():
        return
    word = re.compile(rf"\binclude:\s*['\"]?(?:[^\s'\"]*/)?{re.escape(path.name)}\b")
    folders = {path.resolve().parent, scenario.resolve().parent}
    files = {file for folder in folders for file in folder.rglob("*.yaml")}
    found = sum(len(word.findall(file.read_text("utf-8", "replace"))) for file in files)
    if found != 1:
        raise CannotBeAcceptedError(f"{path} is included {found} times: change it by hand")


# The text of a file, with other scalars in it.


def rewritten(text: str, place: Place, number: int, changes: Changes) -> str:
    """The text with other values in the clause at `place`; raises `CannotBeAcceptedError`."""
    mark, text = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    clause = _clause(_composed(text), place)
    pattern = clause.value[number] if isinstance(clause, SequenceNode) else clause
    spots = [(_below(pattern, path), new) for path, new in changes]
    for node, new in sorted(spots, key=lambda spot: -int(spot[0].start_mark.index)):
        text = _replaced(text, node, new)
    return mark + text


def _composed(text: str) -> Node:
    node: Node = YAML(typ="rt", pure=True).compose(text)
    return node


def _clause(root: Node, place: Place) -> Node:
    """The value of the key at a place."""
    found = next(
        (pair[1] for pair in _pairs(root) if _at(pair[0]) == (place.line, place.column)), None
    )
    if found is None:
        raise CannotBeAcceptedError("the clause stands behind a reference (*name)")
    return found


def _at(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _pairs(node: Node) -> Iterator[tuple[Node, Node]]:
    """All keys and values that nothing refers to."""
    if node.anchor:
        return
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key, value
            yield from _pairs(value)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _pairs(item)


def _below(node: Node, path: Sequence[str | int]) -> ScalarNode:
    for step in path:
        _is_its_own(node)
        if isinstance(node, MappingNode):
            node = next(value for key, value in node.value if str(key.value) == str(step))
        else:
            node = node.value[step]
    _is_its_own(node)
    if not isinstance(node, ScalarNode) or node.style in ("|", ">"):
        raise CannotBeAcceptedError("a text of several lines is changed by hand")
    return node


def _is_its_own(node: Node) -> None:
    if node.anchor:
        raise CannotBeAcceptedError("the value stands for several (&name): change it by hand")


def _replaced(text: str, node: ScalarNode, new: Any) -> str:
    """The text with another value for one node, in its own way of quoting if that will do."""
    start, end = node.start_mark.index, node.end_mark.index
    old = list(_flat(_composed(text)))
    at = next(n for n, (_, _, index) in enumerate(old) if index == start)
    for way in _ways(node, new):
        candidate = text[:start] + way + text[end:]
        try:
            flat = list(_flat(_composed(candidate)))
        except YAMLError:
            continue
        wanted = [row[:2] for row in old]
        if at < len(flat):
            wanted[at] = (TEXT, new) if isinstance(new, str) else (flat[at][0], way)
        if [row[:2] for row in flat] == wanted:
            return candidate
    raise CannotBeAcceptedError("it cannot be written there")


def _flat(node: Node) -> Iterator[tuple[str, Any, int]]:
    """A document as a row of tags and values, each with its place in the text."""
    index = node.start_mark.index
    if isinstance(node, ScalarNode):
        yield str(node.tag), node.value, index
        return
    children = node.value if isinstance(node, SequenceNode) else [n for p in node.value for n in p]
    yield str(node.tag), len(children), -1
    for child in children:
        yield from _flat(child)


def _ways(node: ScalarNode, new: Any) -> list[str]:
    """How a value may be written, the way of the old one first."""
    if not isinstance(new, str):
        return [json.dumps(new)]
    single = "'" + new.replace("'", "''") + "'"
    double = '"' + "".join(map(escaped, new)) + '"'
    return {"'": [single, double], '"': [double]}.get(node.style or "", [new, single, double])
