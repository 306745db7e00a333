"""`harness prove`: expectations that have been seen to fail."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.commands.run import add_pool, add_programs, add_row, options_of, worst
from harness.errors import Exit
from harness.pool import Job, run_all
from harness.progress import Progress
from harness.prove import Finding, Proof, Score, findings, score
from harness.report import clean, one_line, report
from harness.runner import EXITS, Outcome
from harness.selection import add_runs, add_selection, chosen, chosen_runs, nothing_chosen

ENOUGH = 95.0  # per cent of the lies


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_selection(parser)
    add_programs(parser)
    add_pool(parser)
    add_runs(parser)
    add_row(parser)
    parser.add_argument(
        "--min", type=_percent, default=ENOUGH, metavar="PERCENT", dest="enough",
        help=f"fail if less of the lies is noticed (default: {ENOUGH:g})",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every lie and who noticed it to a file"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="only what is not as it should")
    parser.add_argument("-v", "--verbose", action="store_true", help="say which lies were missed")


def _percent(text: str) -> float:
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage from 0 to 100")
    return number


def main(arguments: argparse.Namespace) -> int:
    """Run, lie, report; the exit code is that of the worst run, or of too many unnoticed lies."""
    jobs = chosen_runs(arguments, chosen(arguments))
    outcomes = list(_outcomes(jobs, arguments))
    proofs = [outcome.proof for outcome in outcomes if outcome.proof is not None]
    found, total = findings(proofs), score(proofs)
    for finding in found:
        print(clean(str(finding)))
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(_as_json(outcomes, found, total)))
    if not outcomes:
        print(nothing_chosen(arguments), file=sys.stderr)
    print(_closing_line(found, total), flush=True)
    code = worst(outcomes)
    odd = any(proof.different for proof in proofs) or total.percent < arguments.enough
    return Exit.BROKEN if code == Exit.PASSED and odd else code


def _outcomes(jobs: Sequence[Job], arguments: argparse.Namespace) -> Iterator[Outcome]:
    options = msgspec.structs.replace(options_of(arguments), prove=True)
    with Progress(len(jobs)) as progress:
        for outcome in run_all(jobs, options, arguments.jobs, watcher=progress):
            progress.count()
            for text in _told(outcome, arguments):
                progress.say(text)
            yield outcome


def _told(outcome: Outcome, arguments: argparse.Namespace) -> Iterator[str]:
    """What is printed about one run."""
    proof: Proof | None = outcome.proof
    if EXITS[outcome.status] is not Exit.PASSED:
        yield one_line(outcome)
        yield report(outcome)
    elif proof is None:
        yield from () if arguments.quiet else (one_line(outcome),)
    elif proof.different:
        where = f" ({proof.at})" if proof.at else ""
        yield clean(f"failed   {outcome.name}: cannot be replayed: {proof.different}{where}")
    else:
        yield from _about(outcome, proof, arguments)


def _about(outcome: Outcome, proof: Proof, arguments: argparse.Namespace) -> Iterator[str]:
    own = score([proof])
    if not arguments.quiet or own.noticed < own.told:
        yield clean(
            f"proved   {outcome.name}: {own.noticed} of {own.told} lies ({outcome.seconds:.2f} s)"
        )
    for tried in proof.tried if arguments.verbose else ():
        for told in tried.told:
            if told.counts and not told.noticed:
                what = f"{told.kind} {told.about!r} for {tried.actor} {tried.verb}"
                yield clean(f"    {tried.place}: not noticed: {what}")


def _closing_line(found: Sequence[Finding], total: Score) -> str:
    empty = sum(finding.verdict == "empty" for finding in found)
    weak = sum(finding.verdict == "weak" for finding in found)
    said = f"{empty} expectation{' is' if empty == 1 else 's are'} empty, {weak} weak"
    more = f"of all lies, also those that may pass, {total.strictness:.1f} % were noticed"
    return (
        f"{more}\n{total.noticed:,} of {total.told:,} lies noticed ({_floor(total.percent)} %);"
        f" {said}"
    )


def _floor(percent: float) -> str:
    """With one digit, and 100 only if it is."""
    return f"{int(percent * 10) / 10:.1f}"


def _as_json(outcomes: Sequence[Outcome], found: Sequence[Finding], total: Score) -> bytes:
    runs: list[dict[str, Any]] = [
        {"scenario": outcome.path, "row": outcome.row, "status": outcome.status,
         "what": outcome.what, "proof": outcome.proof}
        for outcome in outcomes
    ]  # fmt: skip
    summary = {"told": total.told, "noticed": total.noticed, "percent": total.percent,
               "strictness": total.strictness}  # fmt: skip
    return msgspec.json.encode({"lies": summary, "findings": found, "runs": runs})
