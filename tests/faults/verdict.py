"""What was acknowledged against what has arrived."""

from collections import Counter, defaultdict

from plan import BLOWS, CUTS


class Verdict:
    """Counts, and what is wrong in words."""

    def __init__(self, world):
        self._world = world
        self._cuts = {kind: world.struck[kind] for kind in CUTS}
        self._blows = ", ".join(f"{kind}s {world.struck[kind]}" for kind in BLOWS)
        self.lost: list[str] = []
        self.doubled: list[str] = []
        self.unordered: list[str] = []
        expected = self._expected()
        for client in world.clients:
            self._compare(client, expected[client.name])
        said = [wrong for client in world.clients for wrong in client.wrong]
        self.wrong = [*self.lost, *self.doubled, *self.unordered, *said]

    def _expected(self) -> dict[str, set[tuple[str, int]]]:
        """By receiver: the sender and number of each message that was acknowledged."""
        expected = defaultdict(set)
        for client in self._world.clients:
            for message in client.messages:
                if message.number in client.acknowledged:
                    for name in self._world.plan.receivers(client.name, message):
                        expected[name].add((client.name, message.number))
        return expected

    def _compare(self, client, expected: set[tuple[str, int]]) -> None:
        counts = Counter((one.sender, one.number) for one in client.got)
        self.lost += [f"{client.name} never got {one}" for one in sorted(expected - counts.keys())]
        self.doubled += [f"{client.name} got {one} {n} times" for one, n in counts.items() if n > 1]
        surplus = sorted(counts.keys() - expected)
        self.doubled += [f"{client.name} got {one}, which was not for it" for one in surplus]
        last: Counter[str] = Counter()
        for one in client.got:
            if one.number <= last[one.sender]:
                self.unordered.append(f"{client.name} got {one} behind {last[one.sender]}")
            last[one.sender] = max(last[one.sender], one.number)

    def line(self) -> str:
        """All counts in one line."""
        clients = self._world.clients
        kinds = ", ".join(f"{kind} {count}" for kind, count in self._cuts.items())
        return (
            f"{self._blows}, cuts {sum(self._cuts.values())} ({kinds}), "
            f"sent {sum(len(one.messages) for one in clients)}, "
            f"acknowledged {sum(len(one.acknowledged) for one in clients)}, "
            f"received {sum(len(one.got) for one in clients)}, lost {len(self.lost)}, "
            f"doubled {len(self.doubled)}, out of order {len(self.unordered)}"
        )
