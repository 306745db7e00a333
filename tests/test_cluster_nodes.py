"""Nodes that come, go, are copied, and judge each other; and what is told of it."""

import asyncio
import shutil

import nats as client
import pytest
from peers.nats import bound, messages, publish
from ready import readable
from support import PATIENCE
from test_cluster_store import answers, ask, settle, told

from chatd.cluster.records import Arrive, Record, Settings, encode, tail
from chatd.cluster.store import ClusterStore
from chatd.core.effects import Account, Enter, Entered, Expelled, Fellows, Fence, Outrun, Trouble

ANN = Account(7, "Ann", "ann", "ann")


@pytest.fixture
def own(own_nats, tmp_path):
    """A node whose NATS may be ill-treated."""
    one = ClusterStore([own_nats.url], tmp_path / "own")
    yield one
    one.close()


def folder(store):
    return store.copy.path.parent.parent


def enter(n: int = 0) -> Enter:
    return Enter(ANN, n, False, False, False)


def about(news) -> list[str]:
    return [each.about for each in news if isinstance(each, Fellows) and each.about]


def until(store, good, act=lambda: None) -> list:
    """Everything that is told until one of it is good."""
    everything = []
    while not any(map(good, everything)):
        act()
        everything += turn(store)
    return everything


def turn(store) -> list:
    """What is told next."""
    assert readable(store.fileno(), PATIENCE)
    store.take_in()
    return store.completions()


def is_dead(name: str):
    return lambda one: isinstance(one, Fellows) and one.about.startswith(f"{name}:1 was silent")


def come(server, stream: str, name: str):
    """A node that has come, and of which nothing more is heard."""
    record = Record(name, 1, 0, Arrive(Settings(), f"{name}:1"))
    publish(server, f"{stream}.{tail(record)}", encode(record))


def beat(server, stream: str, origin: str, signs: bytes = b""):
    """A sign of life, with what it says of others."""

    async def send():
        peer = await client.connect(server.url)
        await peer.publish(f"chatd_beat.{stream}.{origin}", signs)
        await peer.close()

    asyncio.run(send())


def test_who_comes_and_goes_is_told(node):
    one = node(where="a:1")
    two = node(where="b:1")
    assert about(two.completions()) == ["here, with a:1"]
    two.close()
    (news,) = settle(one)
    assert about(news) == ["b:1 has come", "b:1 has gone"]


def copied(store, path):
    """A folder for the next node that has been this one's."""
    path.mkdir()
    assert (folder(store) / "node").stat().st_mode & 0o777 == 0o600
    shutil.copy(folder(store) / "node", path)


def test_who_comes_again_to_its_folder_is_told_and_who_comes_with_a_copy_of_it(node, tmp_path):
    one = node(where="a:1")
    copied(node(where="b:1"), tmp_path / "copy2")
    copied(node(where="b:1"), tmp_path / "copy3")
    node(where="c:1")
    (news,) = settle(one)
    *before, last = about(news)
    assert before == ["b:1 has come", "b:1 has come again"]
    assert last == "c:1 has come with the folder of b:1, which is taken for gone"


def test_two_nodes_with_copies_of_one_folder_say_so_and_both_live_on(node, tmp_path):
    one = node(where="a:1")
    copied(one, tmp_path / "copy1")
    two = node(where="b:1")
    (asked,), news = told(one, 1, ask(one, enter()))
    assert asked == Outrun(1)
    (why,) = [each.why for each in news if isinstance(each, Expelled)]
    assert why.startswith("another node was started with a copy of this folder, at b:1: ")
    (entered,), news = told(one, 1, ask(one, enter()))
    assert isinstance(entered, Entered)
    assert Trouble("") in news
    (news,) = settle(two)
    assert about(news) == ["a:1 has come"]
    assert [each.account.name for each in two.elsewhere()] == ["Ann"]
    (refused,) = answers(two, enter(1))
    assert refused == Outrun(1)


def test_a_node_of_which_nothing_is_heard_is_dead_and_one_that_somebody_hears_is_not(
    node, nats, stream
):
    one = node(where="a:1")
    for name in ("here", "gone"):
        come(nats, stream, name)
    news = until(one, is_dead("gone"), lambda: beat(nats, stream, "other", b'{"here":0.5}'))
    assert about(news)[-1] == "gone:1 was silent for 3 s: a:1 takes it for dead"
    assert not any(map(is_dead("here"), news))
    for nonsense in (b"\xff", b"[]", b'{"here":"x"}'):
        beat(nats, stream, "other", nonsense)
    until(one, is_dead("here"))


def test_who_was_cut_off_judges_nobody_before_all_could_be_heard_again(own, own_nats):
    for name in ("here", "gone"):
        come(own_nats, "chatd", name)
    bound(own_nats, "chatd", messages(own_nats, "chatd"))
    until(own, lambda one: isinstance(one, Trouble))
    bound(own_nats, "chatd", -1)
    news = until(own, lambda one: one == Trouble(""))
    second = own._ticks + 1
    while own._ticks < second:  # so long it may take until they are heard
        news += told(own, 1, ask(own, Fence()))[1]
    news += until(own, is_dead("gone"), lambda: beat(own_nats, "chatd", "here"))
    assert not any(map(is_dead("here"), news))


def test_a_stream_that_takes_nothing_is_noticed_though_nobody_speaks(own, own_nats):
    bound(own_nats, "chatd", messages(own_nats, "chatd"))
    news = until(own, lambda one: isinstance(one, Trouble))
    assert "maximum messages exceeded" in news[-1].why
    own_nats.kill()
    news = until(own, lambda one: isinstance(one, Trouble))
    own_nats.start()
    news += until(own, lambda one: isinstance(one, Trouble) and "exceeded" in one.why)
    assert Trouble("") not in news  # it can be reached, and takes nothing
    bound(own_nats, "chatd", -1)
    assert until(own, lambda one: isinstance(one, Trouble))[-1] == Trouble("")
