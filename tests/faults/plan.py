"""Who sends what to whom, and which fault happens when: all of it from one seed."""

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

CUTS = ("rst", "fin", "stall", "ghost", "deaf")
BLOWS = (
    "kill",
    "reload",
    "upgrade",
    "powercut",
)  # what the daemon itself is dealt; the last amid an upgrade
MEMBERS = 6  # of a group
GROUPED = 0.3  # of the messages go to groups
EVERYONE = "*"
SPOKEN = 0.05  # ... and to everyone: fewer than 200 while somebody is away


class Message(NamedTuple):
    """One message; `number` counts those of its sender from 1, over all plans."""

    number: int
    group: bool
    to: str


class Fault(NamedTuple):
    """What breaks when `at` messages are acknowledged."""

    at: int
    kind: str  # one of `CUTS`, or of `BLOWS`
    victim: int = 0  # the client whose connection it is
    share: float = 0.0  # of the bytes under way that still pass
    span: int = 0  # acknowledged messages until what was held back goes on


class Plan:
    """Made at once and never changed: the same seed and sizes make the same plan."""

    def __init__(
        self,
        seed: int,
        clients: int,
        messages: int,
        blows: Mapping[str, int],
        cuts: int,
        before: "Plan | None" = None,
    ):
        """`blows` says how many of which; `before` is the plan that the same people followed."""
        rng = Random(seed)
        self.names = [f"user{n}" for n in range(clients)]
        size = min(MEMBERS, clients)
        self.groups = before.groups if before else {
            f"group{n}": rng.sample(self.names, size) for n in range(clients // 4 or 1)
        }  # fmt: skip
        self._numbers = before.next_numbers() if before else dict.fromkeys(self.names, 1)
        self.messages: dict[str, list[Message]] = {name: [] for name in self.names}
        for _ in range(messages):
            self._add_message(rng)
        self.faults = [
            Fault((n + 1) * messages // (count + 1), kind)
            for kind, count in blows.items()
            for n in range(count)
        ]
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
        if rng.random() < SPOKEN:
            grouped, to = False, EVERYONE
        written = self.messages[sender]
        written.append(Message(self._numbers[sender] + len(written), grouped, to))

    def next_numbers(self) -> dict[str, int]:
        """Of the first message of each that is in no plan yet."""
        return {name: self._numbers[name] + len(said) for name, said in self.messages.items()}

    def receivers(self, sender: str, message: Message) -> list[str]:
        """Who has to get it."""
        if message.to == EVERYONE:
            members = self.names
        else:
            members = self.groups[message.to] if message.group else [message.to]
        return [name for name in members if name != sender]
