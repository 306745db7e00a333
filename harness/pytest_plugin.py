"""Scenarios as tests of pytest: an item for each run, installed with the package.

`pytest scenarios/` collects every YAML file that is a mapping with `scenario` and `steps`; other
YAML is left alone, and `-p no:harness` switches this off. Tags are markers. A failure prints the
conversation with the broken line marked; a known bug is an xfail, what does not apply a skip, and
a file that cannot be read as a scenario an error of collection, as a module that cannot be
imported would be.

Here stand only the hooks, so that a project without scenarios pays nothing: the harness itself is
imported with the first file that is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.pool import Job, Pool
    from harness.run import Options
    from harness.runner import Outcome

LARGEST = 4 << 20  # bytes of a file that may be a scenario
LOOKS_LIKE = re.compile(r"^(?:\ufeff)?(scenario|steps)[ \t]*:", re.MULTILINE)
NOT_TAGS = ("parametrize", "skip", "skipif", "xfail", "usefixtures", "filterwarnings",
            "tryfirst", "trylast", "timeout", "flaky")  # fmt: skip
POOL: pytest.StashKey[Pool] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `harness run` takes, as far as it makes sense here."""
    group = parser.getgroup("harness", "scenarios")
    group.addoption("--harness-server", metavar="CMD", help="start this server, not the profile's")
    group.addoption("--harness-client", metavar="CMD", help="start this in every terminal")
    group.addoption("--harness-profile", metavar="FILE", help="use this profile in every scenario")
    group.addoption(
        "--harness-at", metavar="HOST:PORT", type=_address, help="use a server that runs already"
    )
    group.addoption("--harness-evidence", metavar="DIR", help="keep what explains a failed run")
    group.addoption(
        "--harness-patience", metavar="FACTOR", type=float, default=1.0,
        help="multiply every patience",
    )  # fmt: skip


def _address(text: str) -> tuple[str, int]:
    from harness.commands.run import host_and_port

    return host_and_port(text)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """A scenario is collected, whatever else is YAML is not."""
    if file_path.suffix not in (".yaml", ".yml") or not _is_scenario(file_path):
        return None
    file: ScenarioFile = ScenarioFile.from_parent(parent, path=file_path)
    return file


def _is_scenario(path: Path) -> bool:
    """Whether the file is a mapping with `scenario` and `steps`, or was meant to be one."""
    try:
        if path.stat().st_size > LARGEST:
            return False
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if "scenario" not in text or "steps" not in text:
        return False
    from harness.errors import ScenarioError
    from harness.yaml_nodes import read

    try:
        root = read(path)
    except ScenarioError:
        return set(LOOKS_LIKE.findall(text)) == {"scenario", "steps"}
    return root.get("scenario") is not None and root.get("steps") is not None


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the processes that made the runs."""
    pool = config.stash.get(POOL, None)
    if pool is not None:
        pool.close()


class ScenarioFile(pytest.File):
    """A scenario: an item for each row of its matrix."""

    def collect(self) -> Iterator[ScenarioItem]:
        """The runs; a file with mistakes is an error that names all of them."""
        from harness.errors import ScenarioError
        from harness.language import load_scenario
        from harness.pool import Job
        from harness.report import clean_lines

        profile = self.config.getoption("--harness-profile")
        try:
            scenario = load_scenario(self.path, profile=Path(profile) if profile else None)
        except ScenarioError as wrong:
            raise self.CollectError(clean_lines(str(wrong))) from wrong
        names: set[str] = set()
        for number, row in enumerate(scenario.rows(), 1):
            name = _name(row)
            name = f"{name}-{number}" if name in names else name
            names.add(name)
            yield ScenarioItem.from_parent(self, name=name, job=Job(scenario, row))


def _name(row: dict[str, Any]) -> str:
    from harness.report import clean
    from harness.runner import run_name

    return clean(run_name("", row)[1:-1]) or "scenario"


class ScenarioItem(pytest.Item):
    """One run of a scenario, in a process of its own."""

    def __init__(self, *, job: Job, **more: Any) -> None:
        super().__init__(**more)
        self._job = job
        scenario = job.scenario
        self.extra_keyword_matches.update([scenario.title, *scenario.tags, *scenario.covers])
        for tag in scenario.tags:
            if not tag.startswith("_") and tag not in NOT_TAGS:
                self.config.addinivalue_line("markers", f"{tag}: a tag of scenarios")
                self.add_marker(tag)

    def runtest(self) -> None:
        """Make the run; fails, skips or xfails as it went."""
        from harness.errors import Exit
        from harness.runner import EXITS

        outcome = play(self.config, self._job)
        self.user_properties += _properties(outcome)
        if outcome.status == "skipped":
            pytest.skip(outcome.what)
        if outcome.status == "known":
            pytest.xfail(outcome.notes[-1] if outcome.notes else outcome.what)
        if EXITS[outcome.status] is not Exit.PASSED:
            raise ScenarioFailure(outcome)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The conversation, the failing line marked; the first line is the summary."""
        from harness.report import report

        if not isinstance(excinfo.value, ScenarioFailure):
            return super().repr_failure(excinfo, style)
        title, what, *rest = report(excinfo.value.outcome).split("\n")
        where = what.replace(f"{self.path}:", f"{self.nodeid.partition('::')[0]}:", 1)
        return "\n".join([where, title, *rest])

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it stands, and its title."""
        return self.path, self._job.scenario.place.line - 1, self._job.scenario.title


class ScenarioFailure(Exception):  # noqa: N818 - what pytest shows is not this name
    """A run did not go as written."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.what)
        self.outcome = outcome


def _properties(outcome: Outcome) -> list[tuple[str, object]]:
    covers = [("covers", requirement) for requirement in outcome.covers]
    proofs = [(f"proof-{grade}", count) for grade, count in sorted(outcome.grades.items())]
    return [*covers, ("points", outcome.points), ("seed", outcome.seed), *proofs]


def play(config: pytest.Config, job: Job) -> Outcome:
    """One run, in the processes that this session of pytest has for runs."""
    from harness.pool import Pool
    from harness.runner import Outcome

    if POOL not in config.stash:
        config.stash[POOL] = Pool()
    pool = config.stash[POOL]
    number = pool.start(job, _options(config))
    while True:
        told = pool.next()
        if told is not None and told[0] == number and isinstance(told[1], Outcome):
            return told[1]


def _options(config: pytest.Config) -> Options:
    from harness.run import Options

    return Options(
        profile=config.getoption("--harness-profile"), server=config.getoption("--harness-server"),
        client=config.getoption("--harness-client"), at=config.getoption("--harness-at"),
        patience=config.getoption("--harness-patience"),
        evidence=config.getoption("--harness-evidence"),
    )  # fmt: skip
