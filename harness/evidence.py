"""What a run leaves behind: a folder that can be opened, watched, searched and repeated.

`index.html` is the conversation as a chart; `NAME.cast` the film of a terminal; `NAME.hex.txt` the
bytes of a socket or pipe; `events.jsonl` everything in the order of arrival; `server.txt` what the
server printed; `files/` what the programs left in the scenario's folder; `report.txt` what was
printed; `repeat.txt` the command that makes the run once more.

Everything is bounded, a folder is never written twice, and only the newest `KEEP` folders stay.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs

from harness import cast, chart
from harness.chart import Kept
from harness.journal import Chunk, Event
from harness.report import SIGNS, clean, report
from harness.secrets import mask

if TYPE_CHECKING:
    from harness.language import Scenario
    from harness.run import Options, Verdict
    from harness.runner import Outcome

FOLDER = "harness-report"  # where evidence lies if nothing else is said
KEEP = 100  # folders that stay: the newest
FORMAT = 1  # of events.jsonl
EVENTS = 20_000  # events kept in events.jsonl: a quarter from the start, the rest from the end
LONGEST = 16_384  # characters of one text in it
DEEPEST = 40  # levels of a frame in it
CASTS = 16 << 20  # bytes of all casts together
BYTES = 256 << 10  # bytes of one socket that are written out
LINES = 10_000  # lines of the server's output
FILES, FILE, SCANNED = 50, 1 << 20, 2_000  # files kept, bytes of one (its end), entries looked at
OTHERS = stat.S_IRWXG | stat.S_IRWXO  # a file that none of these may touch is private
FLAGS = {  # of `Options` -> of the command line
    "profile": "--profile", "server": "--server", "client": "--client", "min_grade": "--min-grade",
}  # fmt: skip

Thing = TypeVar("Thing")
Mask = Callable[[str], str]


def leave(outcome: Outcome, scenario: Scenario, options: Options, home: Path) -> None:
    """Write the folder of a run and name it in `outcome.evidence`; what fails is a note of it."""
    assert options.evidence
    below = Path(options.evidence)
    try:
        folder = _new_folder(below, slug(outcome, row_number(scenario, outcome.row)))
        outcome.evidence = str(folder)
        Evidence(outcome, scenario, options, folder).write(home)
        prune(below)
    except OSError as error:
        outcome.notes.append(f"no evidence in {below}: {error.strerror or error}")


def slug(outcome: Outcome, row: int) -> str:
    """A tidy name of a run: where its scenario lies, and the row of its matrix."""
    path = Path(outcome.path)
    with contextlib.suppress(ValueError):
        path = path.resolve().relative_to(Path.cwd())
    parts = path.with_suffix("").parts
    name = _tidy("-".join(parts[-2:] if path.is_absolute() else parts))[-80:].lstrip("-.")
    return f"{name}-row{row}" if row else name


def row_number(scenario: Scenario, row: Mapping[str, Any]) -> int:
    """Which row of the matrix, from 1; 0 where there is no matrix."""
    rows = list(scenario.rows())
    return rows.index(dict(row)) + 1 if len(rows) > 1 and dict(row) in rows else 0


def repeat_command(outcome: Outcome, row: int, options: Options) -> str:
    """The command that makes this one run again, quoted for a shell."""
    words = ["harness", "run", outcome.path]
    if row:
        words += ["--row", str(row)]
    for name, flag in FLAGS.items():
        if getattr(options, name):
            words += [flag, str(getattr(options, name))]
    if options.at:
        host, port = options.at
        words += ["--at", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    if options.patience != 1.0:
        words += ["--patience", f"{options.patience:g}"]
    if options.shake:
        words.append("--shake")
    if options.seed:
        words += ["--seed", str(options.seed)]
    return shlex.join(words)


class Evidence:
    """Writes the files of one folder."""

    def __init__(
        self, outcome: Outcome, scenario: Scenario, options: Options, folder: Path
    ) -> None:
        self._outcome, self._folder = outcome, folder
        self._row = row_number(scenario, outcome.row)
        self._options = options
        self._kept: list[Kept] = []
        self._mask: Mask = mask

    def write(self, home: Path) -> None:
        """Everything; the page last, because it names the rest."""
        outcome = self._outcome
        self._put("events.jsonl", "everything, in the order of arrival", self._events())
        repeat = self._mask(self._repeat())
        self._put("repeat.txt", "the command that makes this run again", [repeat])
        for name, kind in outcome.cast.items():
            chunks = [chunk for chunk in outcome.chunks if chunk.actor == name]
            self._actor(_tidy(name), name, kind, chunks)
        self._files(home)
        self._put("report.txt", "what was printed", report(outcome).splitlines())
        try:
            page = chart.page(outcome, self._kept, repeat)
        except ImportError:
            outcome.notes.append("no index.html: it needs jinja2 (pip install jinja2)")
        else:
            self._put("index.html", "the conversation", [page])

    def _put(self, name: str, meaning: str, lines: Iterable[str]) -> None:
        text = "".join(f"{self._mask(line)}\n" for line in lines)
        self._put_bytes(name, meaning, text.encode("utf-8", "backslashreplace"))

    def _put_bytes(self, name: str, meaning: str, data: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self._kept.append(Kept(name, meaning, len(data)))

    def _repeat(self) -> str:
        command = repeat_command(self._outcome, self._row, self._options)
        return f"cd {shlex.quote(str(Path.cwd()))}\n{command}"

    # events.jsonl

    def _events(self) -> Iterator[str]:
        outcome = self._outcome
        yield _line({
            "evidence": FORMAT, "title": outcome.title, "path": outcome.path, "row": outcome.row,
            "status": outcome.status, "what": outcome.what, "place": _place(outcome.place),
            "details": outcome.details, "notes": outcome.notes, "profile": outcome.profile,
            "seed": outcome.seed, "seconds": outcome.seconds, "decided": outcome.decided,
            "cast": outcome.cast,
        })  # fmt: skip
        first, left_out, last = ends(outcome.events, EVENTS // 4, EVENTS)
        yield from map(_event, first)
        if left_out:
            yield _line({"left_out": left_out})
        yield from map(_event, last)
        yield from map(_verdict, outcome.verdicts)

    # What each actor heard and said.

    def _actor(self, tidy: str, name: str, kind: str, chunks: list[Chunk]) -> None:
        outcome = self._outcome
        if kind == "server":
            told = [event for event in outcome.events if event.actor == name]
            first, left_out, last = ends(told, LINES // 4, LINES)
            lines = [*_minutes(first), *_gap(left_out, "lines"), *_minutes(last)]
            self._put(f"{tidy}.txt", "what the server printed", lines)
        elif kind == "shell":
            shells = sum(kind == "shell" for kind in outcome.cast.values())
            film = cast.film(
                f"{name}: {outcome.title}", chunks, self._marks(),
                echo=name in outcome.mute, mask=self._mask,
            )  # fmt: skip
            data = cast.written(film, max(CASTS // shells, 1 << 16))
            self._put_bytes(f"{tidy}.cast", f"the film of {name}'s terminal (asciicast)", data)
        else:
            events = [event for event in outcome.events if event.actor == name]
            self._put(f"{tidy}.hex.txt", f"the bytes of {name}", hex_lines(chunks, events))

    def _marks(self) -> Iterator[tuple[float, str]]:
        """Chapters of a film: what anybody does, and what was broken."""
        outcome = self._outcome
        for event in outcome.events:
            if event.kind == "does" and (not outcome.decided or event.at <= outcome.decided):
                yield event.at, clean(f"{event.actor}: {event.text}"[:200])
        if outcome.decided:
            yield outcome.decided, clean(f"{outcome.status}: {outcome.what}"[:200])

    # Files of the scenario's own folder.

    def _files(self, home: Path) -> None:
        kept = 0
        for path in _found(home):
            if kept == FILES:
                self._outcome.notes.append(f"only {FILES} files of the scenario's folder are kept")
                break
            data = _text_of(path)
            if data is None:
                continue
            kept += 1
            name = _tidy("-".join(path.relative_to(home).parts))[-100:]
            self._put(f"files/{kept:02}-{name}", "of the scenario's folder", data.splitlines())


def ends(things: Sequence[Thing], first: int, most: int) -> tuple[list[Thing], int, list[Thing]]:
    """The first of many things, how many are left out, and the last."""
    if len(things) <= most:
        return list(things), 0, []
    return list(things[:first]), len(things) - most, list(things[first - most :])


def hex_lines(chunks: Sequence[Chunk], events: Sequence[Event]) -> Iterator[str]:
    """Bytes with time, direction and offset, the decoded frames between them."""
    yield "# > sent, < received: offset, bytes, text; = what it meant; ~ asked by the harness"
    offsets = {"i": 0, "o": 0}
    left = BYTES
    both: list[Chunk | Event] = [*chunks, *events]
    merged = sorted(both, key=lambda one: one.at)  # stable: bytes before their meaning
    for one in merged:
        if left < 0:
            yield f"# more than {BYTES} bytes: the rest is left out"
            return
        if isinstance(one, Chunk):
            left -= len(one.data)
            yield from _dump(one, offsets)
        elif one.kind in ("does", "sees", "fence"):
            meaning = json.dumps(_plain(one.data)) if one.data is not None else clean(one.text)
            yield f"{one.at:9.3f} {'~' if one.kind == 'fence' else '='} {meaning[:LONGEST]}"
        else:
            yield f"{one.at:9.3f} {SIGNS['note']} {clean(one.text)}"


def _dump(chunk: Chunk, offsets: dict[str, int]) -> Iterator[str]:
    sign = {"i": ">", "o": "<"}.get(chunk.kind)
    if sign is None:
        return
    offset = offsets[chunk.kind]
    offsets[chunk.kind] += len(chunk.data)
    yield f"{chunk.at:9.3f} {sign} {len(chunk.data)} bytes"
    for start in range(0, len(chunk.data), 16):
        row = chunk.data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"          {sign} {offset + start:08x}  {row.hex(' '):47}  |{text}|"


def _minutes(events: Iterable[Event]) -> Iterator[str]:
    for event in events:
        yield f"{event.at:9.3f} {SIGNS[event.kind]} {clean(event.text[:LONGEST])}"


def _gap(left_out: int, what: str) -> list[str]:
    return [f"... {left_out} {what} are left out"] if left_out else []


def _event(event: Event) -> str:
    fields = {
        "event": event.number, "at": round(event.at, 6), "actor": event.actor, "kind": event.kind,
        "text": event.text, "verb": event.verb, "place": _place(event.place), "data": event.data,
    }  # fmt: skip
    return _line({key: value for key, value in fields.items() if value not in ("", None)})


def _verdict(verdict: Verdict) -> str:
    return _line({
        "verdict": verdict.verb, "actor": verdict.actor, "wanted": verdict.wanted,
        "grade": verdict.grade, "at": round(verdict.at, 6), "place": _place(verdict.place),
    })  # fmt: skip


def _place(place: Any) -> Any:
    return None if place is None else structs.asdict(place)


def _line(value: Any) -> str:
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as any reader of JSON takes it, however odd the frame it came from."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1) for inner in value]
    return str(value)


# Folders and files.


def _tidy(name: str) -> str:
    """A name that any file system, shell and link takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".") or "_"


def _new_folder(below: Path, name: str) -> Path:
    """A folder that nobody else writes to, named by the run and the time."""
    below.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(tz=UTC).strftime("%Y%m%d-%H%M%S")
    for number in range(1, 10_000):
        folder = below / (f"{name}-{stamp}" + (f"-{number}" if number > 1 else ""))
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise OSError(f"too many folders named {name}-{stamp}")


def prune(below: Path) -> None:
    """Remove all but the newest folders of evidence; nothing else that lies there is touched."""
    folders = [(_age(path), path) for path in below.iterdir() if _is_evidence(path)]
    for _, path in sorted(folders, reverse=True)[KEEP:]:
        shutil.rmtree(path, ignore_errors=True)


def _age(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _is_evidence(path: Path) -> bool:
    """Whether a folder was written here: its events say so."""
    try:
        with (path / "events.jsonl").open("rb") as events:
            return events.read(14) == b'{"evidence": 1'
    except OSError:
        return False


def _found(home: Path) -> Iterator[Path]:
    """Regular files that are not private, as they come; folders of a size that can be looked at."""
    seen = 0
    for root, folders, names in os.walk(home):
        here = Path(root)
        folders[:] = sorted(name for name in folders if not _private(here / name))
        for name in sorted(names):
            seen += 1
            if seen > SCANNED:
                return
            if not _private(here / name):
                yield here / name


def _private(path: Path) -> bool:
    """Whether only its owner may look; what is neither file nor folder is left alone, too."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return True
    return not (mode & OTHERS) or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _text_of(path: Path) -> str | None:
    """The end of a text file, cleaned line by line; none for what is no text."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - FILE))
            data = file.read(FILE)
    except OSError:
        return None
    if b"\0" in data:
        return None
    lines = data.decode("utf-8", "backslashreplace").split("\n")
    head = [f"... {size - FILE} bytes before"] if size > FILE else []
    return "\n".join([*head, *(clean(line.rstrip("\r")) for line in lines)])
