"""Fuzzes one target after the other, or beside each other: `make fuzz TIME=600`.

What reaches new code goes to `tests/fuzz/new/TARGET` for the next run; what breaks a promise is
kept as `tests/fuzz/new/TARGET-crash-*` and ends with exit code 1. `--keep` adds what is new and
small to the corpus, which the ordinary tests replay.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]
NEW = HERE / "new"
NAMES = ("framing", "dialect", "http", "hub", "daemon")
HANG = 20  # seconds for one input


def main() -> int:
    args = _parser().parse_args()
    if args.one:
        return _fuzz(args.one, args.flags)
    with ThreadPoolExecutor(args.jobs) as pool:
        ends = list(pool.map(lambda name: _run(name, args), args.target or NAMES))
    return int(any(ends))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--target", action="append", choices=NAMES, help="default: all")
    parser.add_argument("--jobs", type=int, default=1, help="targets at once (default: 1)")
    parser.add_argument("--keep", action="store_true", help="add what is new to the corpus")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("flags", nargs="*", help=argparse.SUPPRESS)
    return parser


def _run(name: str, args: argparse.Namespace) -> int:
    new, corpus = NEW / name, HERE / "corpus" / name
    new.mkdir(parents=True, exist_ok=True)
    flags = [
        f"-max_total_time={args.seconds}",
        f"-dict={HERE / 'words.dict'}",
        f"-artifact_prefix={NEW}/{name}-",
        f"-timeout={HANG}",
        "-max_len=2048",
        "-print_final_stats=1",
    ]
    ended = _start(name, *flags, str(new), str(corpus))
    if args.keep and not ended:
        _start(name, "-set_cover_merge=1", "-max_len=1024", str(corpus), str(new))
    print(f"{name}: {'a promise is broken' if ended else 'nothing found'}", flush=True)
    return ended


def _start(name: str, *flags: str) -> int:
    command = [sys.executable, __file__, "--one", name, "--", *flags]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


def _fuzz(name: str, flags: list[str]) -> int:
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install -e '.[fuzz]' (Linux, x86_64)")
    os.environ.pop("CHATD_SELECTOR", None)
    with atheris.instrument_imports(include=["chatd"]):
        from fuzz.targets import TARGETS
    again = f"{sys.executable} {__file__} --one {name} --"  # a merge starts itself, by a shell
    atheris.Setup([again, *flags], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
