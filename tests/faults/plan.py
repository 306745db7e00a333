"""Who sends what to whom, and which fault happens when: all of it from one seed."""

from random import Random
from typing import NamedTuple

CUTS = ("rst", "fin", "stall", "ghost", "deaf")
MEMBERS = 6  # of a group
GROUPED = 0.3  # of the messages go to groups


class Message(NamedTuple):
    """One message; `number` counts those of its sender from 1."""

    number: int
    group: bool
    to: str


class Fault(NamedTuple):
    """What breaks when `at` messages are acknowledged."""

    at: int
    kind: str  # "kill", or one of `CUTS`
    victim: int = 0  # the client whose connection it is
    share: float = 0.0  # of the bytes under way that still pass
    span: int = 0  # acknowledged messages until what was held back goes on


class Plan:
    """Made at once and never changed: the same seed and sizes make the same plan."""

    def __init__(self, seed: int, clients: int, messages: int, kills: int, cuts: int):
        rng = Random(seed)
        self.names = [f"user{n}" for n in range(clients)]
        size = min(MEMBERS, clients)
        self.groups = {f"group{n}": rng.sample(self.names, size) for n in range(clients // 4 or 1)}
        self.messages: dict[str, list[Message]] = {name: [] for name in self.names}
        for _ in range(messages):
            self._add_message(rng)
        at = [(n + 1) * messages // (kills + 1) for n in range(kills)]
        self.faults = [Fault(moment, "kill") for moment in at]
        for _ in range(cuts):
            moment = rng.randrange(messages)
            victim = rng.randrange(clients)
            span = rng.randrange(1, 1 + messages // 20)
            self.faults.append(Fault(moment, rng.choice(CUTS), victim, rng.random(), span))
        self.faults.sort()

    def _add_message(self, rng: Random) -> None:
        sender = rng.choice(self.names)
        own = [group for group, members in self.groups.items() if sender in members]
        grouped = bool(own) and rng.random() < GROUPED
        to = rng.choice(own if grouped else [name for name in self.names if name != sender])
        written = self.messages[sender]
        written.append(Message(len(written) + 1, grouped, to))

    def receivers(self, sender: str, message: Message) -> list[str]:
        """Who has to get it."""
        if not message.group:
            return [message.to]
        return [name for name in self.groups[message.to] if name != sender]
