"""Grades: requirement × scenario × program. What each program keeps, in points and in words.

Four verdicts, never mixed: *passed*; *failed*; *not applicable*, where the profile says that a
program cannot do such a thing, which neither gives nor costs points; *could not run*, where nothing
was found out, so that its points stay open.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction

from msgspec import Struct, field

from harness.language import Exchange, Scenario
from harness.report import SIGNS, clean, source_line
from harness.runner import Outcome

PASSED, FAILED, NOT_APPLICABLE, COULD_NOT_RUN = (
    "passed", "failed", "not applicable", "could not run",
)  # fmt: skip
VERDICTS = (FAILED, COULD_NOT_RUN, PASSED, NOT_APPLICABLE)  # what outweighs what, in one cell
OF_STATUS = {
    "passed": PASSED, "failed": FAILED, "known": FAILED, "flaky": FAILED,
    "skipped": NOT_APPLICABLE, "environment": COULD_NOT_RUN, "wrong": COULD_NOT_RUN,
    "bug": COULD_NOT_RUN,
}  # fmt: skip
MINUTES = 40  # lines of the conversation that a page shows
NOT_COVERED = "open"


class Result(Struct, frozen=True):
    """One run against one program."""

    scenario: str
    run: str  # with its row of the matrix
    title: str
    covers: list[str]
    verdict: str
    worth: float
    points: float
    why: str = ""
    place: str = ""
    line: str = ""  # what stands there in the scenario
    details: list[str] = field(default_factory=list)
    minutes: list[str] = field(default_factory=list)

    @property
    def row(self) -> str:
        """Which row of the matrix it was, in words."""
        return self.run.removeprefix(self.scenario).strip("[]")


class Sheet(Struct):
    """What one program has got."""

    program: str
    results: list[Result] = field(default_factory=list)

    @property
    def points(self) -> float:
        """What was earned."""
        return total(self.results, "points")

    @property
    def worth(self) -> float:
        """What could be earned: everything that applies to this program."""
        return total(self.results, "worth")

    @property
    def open(self) -> float:
        """What nobody could judge."""
        return total(self.with_verdict(COULD_NOT_RUN), "worth")

    def with_verdict(self, verdict: str) -> list[Result]:
        """The results with this verdict."""
        return [result for result in self.results if result.verdict == verdict]

    def counts(self) -> Mapping[str, int]:
        """How many runs have which verdict."""
        return Counter(result.verdict for result in self.results)


def by_scenario(results: Iterable[Result]) -> list[list[Result]]:
    """The runs of each scenario together."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.scenario, []).append(result)
    return list(found.values())


def total(results: Iterable[Result], what: str) -> float:
    """The sum of their `points` or `worth`."""
    return _sum(getattr(result, what) for result in results)


def _sum(numbers: Iterable[float]) -> float:
    # Thirds of a point have to add up to the same, in whatever order they come.
    return round(float(sum(Fraction(n).limit_denominator(10_000) for n in numbers)), 2)


def sheet(program: str, runs: list[tuple[Scenario, Outcome]], *, partial: bool = False) -> Sheet:
    """The sheet of a program.

    A scenario's points are shared equally by those of its runs that apply. `partial`: a failed run
    earns the share of the expectations that held before it broke; none if the server died: how much
    was found out until its death was noticed is chance.
    """
    verdicts = [OF_STATUS[outcome.status] for _, outcome in runs]
    apply = Counter(
        scenario.path
        for (scenario, _), verdict in zip(runs, verdicts, strict=True)
        if verdict != NOT_APPLICABLE
    )
    results = []
    for (scenario, outcome), verdict in zip(runs, verdicts, strict=True):
        applies = verdict != NOT_APPLICABLE
        worth = scenario.points / apply[scenario.path] if applies else 0.0
        share = {PASSED: 1.0, FAILED: _share(scenario, outcome) if partial else 0.0}
        results.append(_result(outcome, verdict, worth, worth * share.get(verdict, 0.0)))
    return Sheet(program, results)


def _share(scenario: Scenario, outcome: Outcome) -> float:
    if outcome.died:
        return 0.0
    expected = {
        clause.place
        for step in scenario.steps
        if isinstance(step, Exchange)
        for clause in step.clauses
        if clause.verb.expectation
    }
    held = {verdict.place for verdict in outcome.verdicts} & expected - {outcome.place}
    return len(held) / len(expected) if expected else 0.0


def _result(outcome: Outcome, verdict: str, worth: float, points: float) -> Result:
    told = (
        []
        if verdict == PASSED
        else [clean(t) for t in (*outcome.details, *outcome.notes) if t not in outcome.what]
    )
    return Result(
        outcome.path, outcome.name, outcome.title, outcome.covers, verdict, worth, points,
        why=clean(outcome.what), place=str(outcome.place or ""), line=source_line(outcome.place),
        details=told, minutes=[] if verdict == PASSED else _minutes(outcome),
    )  # fmt: skip


def _minutes(outcome: Outcome) -> list[str]:
    told = [event for event in outcome.events if event.kind in ("does", "sees")]
    return [
        f"{event.at:7.3f} s  {event.actor} {SIGNS[event.kind]} {clean(event.text)}"
        for event in told[-MINUTES:]
    ]


class Matrix(Struct):
    """Every requirement, what covers it, and how each program keeps it."""

    sheets: list[Sheet]
    requirements: dict[str, str]  # id -> words

    def covering(self) -> dict[str, list[str]]:
        """Requirement -> the scenarios that cover it; none for those that are open."""
        found: dict[str, dict[str, None]] = {name: {} for name in self.requirements}
        for one in self.sheets:
            for result in one.results:
                for name in result.covers:
                    found.setdefault(name, {})[result.scenario] = None
        return {name: list(scenarios) for name, scenarios in found.items()}

    def unknown(self) -> list[str]:
        """What scenarios cover that is not among the requirements; none where there is no table."""
        return [
            name for name in self.covering() if self.requirements and name not in self.requirements
        ]

    def cell(self, requirement: str, one: Sheet) -> str:
        """How a program keeps a requirement: the worst of what its scenarios found."""
        found = {result.verdict for result in one.results if requirement in result.covers}
        return next((verdict for verdict in VERDICTS if verdict in found), NOT_COVERED)

    def scenarios(self) -> dict[str, str]:
        """Path -> title, in the order of the runs."""
        return {r.scenario: r.title for one in self.sheets for r in one.results}

    def scenario_cell(self, path: str, one: Sheet) -> str:
        """What a scenario found out about a program, over all its runs."""
        found = {result.verdict for result in one.results if result.scenario == path}
        return next((verdict for verdict in VERDICTS if verdict in found), NOT_COVERED)


def as_document(matrix: Matrix) -> dict[str, object]:
    """The matrix as one JSON document; `version` changes when the meaning of a field does."""
    by_program: dict[str, dict[str, str]] = defaultdict(dict)
    for name in matrix.covering():
        for one in matrix.sheets:
            by_program[name][one.program] = matrix.cell(name, one)
    return {
        "version": 1,
        "programs": [
            {
                "name": one.program, "points": one.points, "worth": one.worth, "open": one.open,
                "counts": dict(one.counts()), "results": one.results,
            }
            for one in matrix.sheets
        ],
        "requirements": [
            {
                "id": name, "text": matrix.requirements.get(name, ""), "scenarios": scenarios,
                "verdicts": by_program[name],
            }
            for name, scenarios in matrix.covering().items()
        ],
    }  # fmt: skip
