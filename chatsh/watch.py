"""How long a server may say nothing: when it is asked, when another one is tried, when it is lost.

Of times alone, which are those of a clock that only goes forward. One server is asked rarely, and
believed in for long: there is nowhere else to go. Where there are several, seconds matter: a
program that is frozen, or a machine that is cut off, keeps its connections.
"""

from __future__ import annotations

import math
from enum import Enum

MISSES = 3  # questions without an answer are a loss
# Where there are several servers, in seconds:
SILENCE = 10.0  # until one is asked whether it is there; in a cluster each question is a record
UNANSWERED = 3.0  # ... where something that it was asked has no answer
DOUBT = 5.0  # until this question must have been answered, else another server is tried
GLANCE = 1.0  # between two looks whether something was asked meanwhile
# Where no server takes us, or one after the other is in doubt, it is tried ever more rarely.
FIRST_PAUSE, LAST_PAUSE = 5.0, 60.0
CALM = 180.0  # seconds behind which the pauses begin anew


class Due(Enum):
    """What is to be done when nothing is heard."""

    PROBE = "ask whether it is there"
    MOVE = "try another server, and stay if none takes us"
    LOST = "believe that nobody is there"


class Watch:
    """The silence of one server after the other."""

    def __init__(self, quiet: float) -> None:
        """`quiet`: seconds of silence before a server is asked that has no others beside it."""
        self._quiet = quiet
        self._heard = 0.0
        self._asked: float | None = None  # what has come since is no answer: there was nothing
        self._probed: float | None = None
        self._doubted: float | None = None  # the first of these questions
        self._tried = -math.inf  # when another one was tried
        self._pause = 0.0

    def heard(self, now: float) -> None:
        """Something has come, or begins."""
        self._heard, self._asked, self._probed, self._doubted = now, None, None, None

    def asked(self, now: float) -> None:
        """Something was asked that wants an answer."""
        self._asked = now if self._asked is None else self._asked

    def probed(self, now: float) -> None:
        """It was asked whether it is there."""
        self._probed = now
        self._doubted = now if self._doubted is None else self._doubted

    def tried(self, now: float) -> None:
        """Another server was tried."""
        calm = now - self._tried > CALM
        self._pause = FIRST_PAUSE if calm else min(2 * self._pause, LAST_PAUSE)
        self._tried = now

    @property
    def in_doubt(self) -> bool:
        """Whether it has not answered yet that it is there."""
        return self._probed is not None

    def due(
        self, now: float, *, several: bool, extended: bool, stuck: bool
    ) -> tuple[float, Due | None]:
        """What comes next if nothing is heard, and in how many seconds, 0 where it is due.

        `stuck`: it is there, but can keep nothing at present. A server of S3 (not `extended`) need
        not say anything, unless it was asked for something.
        """
        since = self._heard if extended else self._asked
        if since is None:
            return self._quiet, None
        plans = [(since + (MISSES + 1) * self._quiet, Due.LOST)]
        if extended:
            plans.append((self._next_probe(several=several), Due.PROBE))
        if extended and several:
            plans.append((self._next_move(now, stuck=stuck), Due.MOVE))
        at, what = min(plans, key=lambda plan: plan[0])
        left = max(at - now, 0.0)
        return (GLANCE, None) if several and left > GLANCE else (left, what)

    def _next_probe(self, *, several: bool) -> float:
        if self._probed is not None:
            return self._probed + self._quiet
        if not several:
            return self._heard + self._quiet
        unanswered = math.inf if self._asked is None else self._asked + UNANSWERED
        return min(self._heard + SILENCE, unanswered)

    def _next_move(self, now: float, *, stuck: bool) -> float:
        doubted = math.inf if self._doubted is None else self._doubted + DOUBT
        return max(now if stuck else doubted, self._tried + self._pause)
