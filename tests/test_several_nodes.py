"""Shells and programs that know several nodes of a cluster: what they notice of one that goes."""

from itertools import repeat

from peers.servers import kill
from peers.shells import CHATSH, PROMPT
from support import PATIENCE
from test_cluster import nodes  # noqa: F401 - a fixture
from test_link import kept
from test_several_hosts import NEVER, listed
from test_shell_groups import toolbar

from chatd.wire.messages import Incoming, Outgoing
from chatsh.client import Answered

SENT = [str(number) for number in range(50)]


def until_answered(peer, last: str) -> set[str]:
    """The kinds of events before the answer to the last message."""
    kinds = set()
    while True:
        event = peer.events.get(timeout=PATIENCE)
        if isinstance(event, Answered) and getattr(event.request, "content", "") == last:
            return kinds
        kinds.add(type(event).__name__)


def contents(wire) -> list[str]:
    return [frame["content"] for frame in wire.settle() if frame["code"] == "incoming"]


def test_who_talks_while_a_node_is_stopped_notices_nothing_and_nobody_else_does(nodes):  # noqa: F811
    one, two = nodes(2)
    with kept(one, two, delays=lambda: repeat(NEVER)) as ana:
        ben = two.join("ben")
        ben.tell("ana", "before")
        assert ana.until(Incoming).content == "before"
        ben.settle()
        one.signal(15)
        for text in SENT:
            ana.link.send(Outgoing("ben", text))
        assert "Lost" not in until_answered(ana, SENT[-1])
        frames = ben.settle()
        assert [frame["content"] for frame in frames if frame["code"] == "incoming"] == SENT
        assert [frame for frame in frames if frame["code"] == "notice"] == []
        ben.tell("ana", "behind")
        assert ana.until(Incoming).content == "behind"
        assert one.wait() == 0


def test_who_talks_while_a_node_is_killed_goes_on_at_the_other_with_nothing_lost(nodes):  # noqa: F811
    one, two = nodes(2)
    with kept(one, two, delays=lambda: repeat(NEVER)) as ana:
        ben = two.join("ben")
        ben.tell("ana", "before")
        assert ana.until(Incoming).content == "before"
        kill(one)
        for text in SENT:
            ana.link.send(Outgoing("ben", text))
        assert "Lost" in until_answered(ana, SENT[-1])
        assert contents(ben) == SENT


def test_a_rolling_restart_is_silent(nodes, shells, start, nats, stream):  # noqa: F811
    one, two = nodes(2)
    ann = shells.start(*CHATSH, listed(one.port, two.port), "ann")
    shells.at(ann, PROMPT)
    shells.until(lambda: toolbar(ann) == f"at 127.0.0.1, port {one.port}", "the first node")
    rows = [row for row in ann.rows if row.strip()]
    one.stop()
    shells.until(lambda: toolbar(ann) == f"at 127.0.0.1, port {two.port}", "the second node")
    start("--cluster", f"{nats.url}/{stream}", data="node0", port=one.port)
    two.stop()
    shells.until(lambda: toolbar(ann) == f"at 127.0.0.1, port {one.port}", "the first node again")
    assert [row for row in ann.rows if row.strip()][:-1] == rows[:-1]
    ann.enter("hello")
    shells.sees(ann, "ann: hello")
