"""What the daemon has counted, in the text format of Prometheus.

Imported when it is first asked for (`chatd.pages`): the library costs more than the rest of a
start. Nothing is counted here: each scrape reads the plain numbers of the hub and of the loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from chatd import __version__
from chatd.core.hub import Hub
from chatd.net.durations import BOUNDS, Durations
from chatd.net.loop import Loop
from chatd.wire.errors import ErrorCode

LABELS = [*map(str, BOUNDS), "+Inf"]


class Tally(NamedTuple):
    """What the daemon itself has counted."""

    commits: Durations
    writable: bool
    no_place: Mapping[str, int]  # connections refused at the door, by why
    answers: Mapping[int, int]  # over HTTP, by status
    failed_handshakes: int  # of TLS
    left_out: int  # lines that server.log was spared


class Readings(Collector):
    """The numbers of one daemon, read at each scrape."""

    def __init__(self, hub: Hub, loop: Loop, tally: Tally) -> None:
        self._hub = hub
        self._loop = loop
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        yield from self._gauges()
        yield from self._counters()
        yield _histogram(
            "chatd_store_commit_duration_seconds", "Durable commits.", self._tally.commits
        )
        yield _histogram(
            "chatd_turn_duration_seconds", "Turns of the loop, without their waiting.",
            self._loop.turns,
        )  # fmt: skip

    def _gauges(self) -> Iterable[Metric]:
        connections = self._loop.connections.values()
        queued = sum(one.queued for one in connections)
        secure = {one.id for one in connections if one.secure}
        in_tls = sum(one.conn in secure for one in self._hub.online.values())
        build = GaugeMetricFamily("chatd_build_info", "The version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        for name, help_, value in (
            ("chatd_connections", "Open connections, also without a session.", len(connections)),
            ("chatd_tls_sessions", "Open sessions in TLS, of either kind.", in_tls),
            ("chatd_queued_bytes", "Bytes queued for peers.", queued),
            ("chatd_log_position", "The number of the newest entry of the log.", self._hub.seq),
            ("chatd_nodes", "Daemons that share the log, this one too.", self._hub.fellows + 1),
            ("chatd_store_writable", "1, or 0 since writing has failed.", self._tally.writable),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, help_, value)
        plain = sum(one.plain for one in self._hub.online.values())
        sessions = GaugeMetricFamily("chatd_sessions", "Open sessions.", labels=["kind"])
        sessions.add_metric(["plain"], plain)
        sessions.add_metric(["extended"], len(self._hub.online) - plain)
        yield sessions

    def _counters(self) -> Iterable[Metric]:
        counts = self._hub.counts
        for name, help_, value in (
            ("chatd_accepted_connections", "Connections accepted.", self._loop.accepted),
            ("chatd_deliveries", "Messages and events queued for a session.", counts.deliveries),
            ("chatd_login_failures", "Wrong passwords, unknown names.", counts.failed_logins),
            ("chatd_tls_handshake_failures", "Handshakes of TLS that came to nothing.",
             self._tally.failed_handshakes),
            ("chatd_delays", "Times that a peer was read from later.", counts.delays),
            ("chatd_unlogged_lines", "Lines of which a flood had too many.", self._tally.left_out),
        ):  # fmt: skip
            yield CounterMetricFamily(name, help_, value)
        yield _labelled(
            "chatd_turned_away", "Connections without a place.", "why",
            self._tally.no_place,
        )  # fmt: skip
        yield _labelled(
            "chatd_tls_handshakes", "Handshakes of TLS that are done.", "version",
            self._loop.handshakes,
        )  # fmt: skip
        yield _labelled("chatd_http", "Answers over HTTP.", "status", self._tally.answers)
        yield _labelled("chatd_messages", "Messages stored.", "kind", counts.messages)
        refusals = CounterMetricFamily(
            "chatd_refusals", "Errors told to peers.", labels=["error", "name"]
        )
        errors = counts.errors + Counter({ErrorCode.SERVER_FULL: self._loop.refused})
        for code in ErrorCode:  # also at 0: of what was never there no increase is seen
            refusals.add_metric([str(int(code)), code.name.lower()], errors[code])
        yield refusals


def _labelled(name: str, help_: str, label: str, counted: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, help_, labels=[label])
    for value, count in counted.items():
        family.add_metric([str(value)], count)
    return family


def _histogram(name: str, help_: str, durations: Durations) -> Metric:
    family = HistogramMetricFamily(name, help_)
    buckets = zip(LABELS, map(float, accumulate(durations.counts)), strict=True)
    family.add_metric([], list(buckets), durations.total)
    return family


_process = CollectorRegistry()
ProcessCollector(registry=_process)  # memory, descriptors, CPU time; where there is /proc


def text(readings: Readings) -> tuple[str, bytes]:
    """Content type and text."""
    ours = CollectorRegistry()
    ours.register(readings)
    return CONTENT_TYPE_LATEST, generate_latest(ours) + generate_latest(_process)
