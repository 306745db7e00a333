"""The proof by faults: what was acknowledged arrives once and in order, whatever breaks meanwhile.

Real clients talk through a proxy that cuts, stalls and half-opens their connections, to a real
daemon that is killed by SIGKILL again and again. Every fault stands in a plan made from the seed,
and happens when so many messages are acknowledged: never by time.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from plan import BLOWS, Plan
from verdict import Verdict
from world import World


def parse(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="faults", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20, help="of the daemon, by SIGKILL")
    parser.add_argument("--reloads", type=int, default=10, help="... by SIGHUP, which is none")
    parser.add_argument("--upgrades", type=int, default=10, help="by which another takes over")
    parser.add_argument("--powercuts", type=int, default=10, help="amid an upgrade")
    parser.add_argument("--cuts", type=int, default=400, help="faults of single connections")
    parser.add_argument("--seed", type=int, default=1, help="the same faults for the same seed")
    parser.add_argument("--selector", default="", help="how the daemon waits for sockets")
    parser.add_argument("--patience", type=float, default=900, help="seconds before giving up")
    return parser.parse_args(argv)


async def prove(args: argparse.Namespace, folder: Path) -> Verdict:
    """Run the plan to its end; raises `TimeoutError` where that never comes."""
    blows = {kind: getattr(args, kind + "s") for kind in BLOWS}
    plan = Plan(args.seed, args.clients, args.messages, blows, args.cuts)
    selector = ["--selector", args.selector] if args.selector else []
    async with asyncio.timeout(args.patience):
        world = World(plan, folder, *selector)
        try:
            await world.run()
        finally:
            await world.close()
    return Verdict(world)


def main() -> int:
    args = parse()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        verdict = asyncio.run(prove(args, folder))
    except TimeoutError:
        print(f"seed {args.seed}: not over within {args.patience:g} seconds", file=sys.stderr)
        return 1
    except RuntimeError as broken:
        print(f"seed {args.seed}: {broken}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)
    print(f"seed {args.seed}: {verdict.line()}")
    for wrong in verdict.wrong[:20]:
        print(wrong, file=sys.stderr)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
