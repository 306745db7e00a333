"""Three servers of NATS, three daemons: each may go, and nothing acknowledged goes with it."""

import os
import re
import subprocess
import sys
import threading

import pytest
from peers.nats import Nats, NatsCluster, make_stream
from support import one_error, run_chatd

from chatd.cluster import link
from chatd.cluster.records import Settings
from chatd.cluster.store import ClusterStore
from chatd.config import parse, parse_import
from chatd.wire.errors import ConfigError, StoreError


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A cluster of NATS for all tests here; who kills one of its servers starts it again."""
    one = NatsCluster(tmp_path_factory.mktemp("three"))
    yield one
    one.end()


def say(wire, n: int) -> None:
    """One numbered message, again and again until it is acknowledged."""
    while True:
        wire.send("outgoing", to="ben", content=str(n), id=str(n))
        frame = wire.read()
        while frame.get("re") != str(n):
            frame = wire.read()
        if frame["code"] == "ack":
            return
        assert frame["error"] == 505


def test_the_leader_of_nats_may_be_killed_and_nothing_is_lost_or_doubled(three, start, stream):
    url = f"{three.url}/{stream}"
    nodes = [start("--cluster", url, data=f"node{n}") for n in range(3)]
    assert any("3 replicas" in line for line in nodes[0].lines)
    ann, ben = nodes[0].join("ann"), nodes[1].join("ben")
    for wire in (ann, ben):
        wire.settle()
    leader = three.leader(stream)
    for n in range(30):
        if n == 10:
            three.servers[leader].kill()
        say(ann, n)
        if n == 20:
            three.restart(leader)
    got = [each for each in ben.settle() if each["code"] == "incoming"]
    assert [each["content"] for each in got] == [str(n) for n in range(30)]
    late = nodes[2].wire()
    while late.ask("hello", name="cid", v=1)["code"] != "welcome":  # a node that was behind: 505
        late = nodes[2].wire()
    late.settle()
    assert late.ask("who", id="w")["users"]


def test_any_daemon_may_be_killed_and_nothing_is_lost_or_doubled(nats, start, stream):
    """Two people go on at the next node whenever theirs is gone, and confirm what they have."""
    url = f"{nats.url}/{stream}"
    nodes = [start("--cluster", url, data=f"node{n}") for n in range(3)]
    ann, ben = nodes[0].join("ann"), nodes[0].join("ben")
    got: list[str] = []
    for n in range(20):
        if n in (5, 12):
            nodes.pop(0).process.kill()
            ann = nodes[0].join("ann", token=ann.welcome["token"])
            ben = nodes[0].join("ben", token=ben.welcome["token"])
        say(ann, n)
        if n in (4, 11):
            continue  # nobody has taken this one when its node is killed
        for frame in ben.settle():
            if frame["code"] == "incoming":
                got.append(frame["content"])
                ben.send("received", upto=frame["seq"])
        ben.settle()
    assert got == [str(n) for n in range(20)]


def test_nodes_that_start_at_once_make_one_log(three, start, stream):
    url = f"{three.url}/{stream}"
    nodes = [start("--cluster", url, data=f"node{n}", wait=False) for n in range(3)]
    for node in nodes:
        node.port = int(node.says(r"^listening on .*, port (\d+)$")[1])
    ann, ben = nodes[0].join("ann"), nodes[1].join("ben")
    for wire in (ann, ben):
        wire.settle()
    ann.tell("ben", "hi")
    assert ben.await_("incoming")["content"] == "hi"


# --- what is said at the start ------------------------------------------------------------------


def refused(url: str, folder, **more) -> str:
    """Why a node does not start; nothing of it is left behind."""
    servers, _, name = url.rpartition("/")
    before = threading.active_count()
    with pytest.raises(StoreError) as error:
        ClusterStore([servers], folder, **{"name": name, **more})
    assert threading.active_count() == before
    return str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "localhost:4222",
            "127.0.0.1:4222",
            ",",
            "http://x:1",
            "nats://",
            "nats://x:0",
            "nats://x:y",
            "nats://x/a.b",
        ),
        *("nats://me:secret@x/a.b", "me:secret@x:1", "nats://x/one,nats://x/two"),
    ],
)
def test_a_wrong_address_is_told_without_its_password(url):
    with pytest.raises(ConfigError) as error:
        parse(["8000", "--cluster", url])
    said = str(error.value)
    assert said.startswith("--cluster takes nats://HOST:PORT/STREAM, not")
    assert "secret" not in said
    shown = re.fullmatch(r'.*, not "(.*)"', said)[1]
    assert shown in (url, *url.split(","), url.replace("me:secret@", ""))


@pytest.mark.parametrize(
    "words", [*(("--replicas", given) for given in ("0", "2", "x")), ("--store", "memory")]
)
def test_what_does_not_go_with_a_cluster_is_told(words):
    with pytest.raises(ConfigError):
        parse(["8000", "--cluster", "nats://x", *words])


@pytest.mark.parametrize("read", [parse, lambda words: parse_import(["-", *words[1:]])])
def test_replicas_are_those_of_a_cluster(read):
    with pytest.raises(ConfigError) as error:
        read(["8000", "--replicas", "3"])
    assert "it goes with --cluster" in str(error.value)


def test_where_nobody_listens_is_told_without_the_password(tmp_path):
    said = refused("nats://me:secret@127.0.0.1:1/log", tmp_path)
    assert said.startswith("cannot reach NATS at nats://127.0.0.1:1: ")
    assert "secret" not in said


def test_a_daemon_that_cannot_start_says_why_in_one_line(tmp_path):
    plain = Nats(tmp_path / "nats", jetstream=False)
    try:
        done = run_chatd("0", "--cluster", plain.url, "--data", tmp_path / "data")
    finally:
        plain.end()
    assert one_error(done) == "chatd: NATS runs without JetStream: nats-server -js"


def test_a_nats_that_is_too_old_is_told(nats, stream, tmp_path, monkeypatch):
    monkeypatch.setattr(link, "NEEDED", (99, 0, 1))
    said = refused(f"{nats.url}/{stream}", tmp_path)
    assert re.search(r"has version 2\.\d+\.\d+; 99\.0\.1 or newer is needed", said)


def test_more_replicas_than_servers_are_told(nats, stream, tmp_path):
    said = refused(f"{nats.url}/{stream}", tmp_path, replicas=3)
    assert said.startswith(f"JetStream refuses the stream {stream}: ")
    assert said.endswith(
        "each replica needs a server of its own in one cluster of NATS: --replicas"
    )


def test_another_ones_stream_is_told(nats, stream, tmp_path):
    make_stream(nats, stream)
    said = refused(f"{nats.url}/{stream}", tmp_path)
    assert f"the stream {stream} of NATS is not a log of this chatd" in said


def test_two_clusters_on_one_stream_are_told(node, nats, stream, tmp_path):
    node(where="here:8000")
    other = Settings(guest_name="visitor{n}")
    said = refused(f"{nats.url}/{stream}", tmp_path / "other", settings=other)
    assert "another cluster uses this stream: here:8000 runs with" in said
    assert "visitor{n}" in said


def test_one_folder_is_one_node(node, nats, stream, tmp_path):
    one = node()
    said = refused(f"{nats.url}/{stream}", one.copy.path.parent.parent)
    assert "another chatd is using this folder" in said
    assert one.last_seq() == 0  # and its copy is as it was


def test_too_few_servers_for_a_quorum_are_told(tmp_path):
    cluster = NatsCluster(tmp_path / "nats")
    try:
        for one in cluster.servers[1:]:
            one.kill()
        said = refused(f"{cluster.servers[0].url}/log", tmp_path / "data")
    finally:
        cluster.end()
    assert "quorum" in said


# --- without a cluster --------------------------------------------------------------------------


def test_a_daemon_alone_reads_nothing_of_nats():
    check = "import sys, chatd.cli; print(*{'nats', 'asyncio', 'chatd.cluster'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_what_is_missing_for_a_cluster_is_told(tmp_path):
    (tmp_path / "nats.py").write_text("raise ImportError('there is no nats here')")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = ["0", "--cluster", "nats://x", "--data", tmp_path / "data"]
    done = run_chatd(*words, env={**os.environ, "PYTHONPATH": paths})
    assert "there is no nats here" in one_error(done)
    assert "pip install 'chatd[cluster]'" in one_error(done)


def test_replicas_may_be_asked_for_later(three, stream, tmp_path):
    for number in (1, 3):
        one = ClusterStore(three.url.split(","), tmp_path, name=stream, replicas=number)
        assert f"{number} replica" in one.about
        assert ("--replicas 3" in one.warning) == (number == 1)
        one.close()


def test_a_start_says_whether_the_log_is_new_and_that_an_older_chat_is_another(
    nats, start, stream, tmp_path
):
    alone = start(data="moved")
    alone.stop()
    one = start("--cluster", f"{nats.url}/{stream}", data="moved")
    told = f"data: stream {stream} of NATS, new, 1 replica; copy: {tmp_path / 'moved'}"
    assert told in one.lines
    assert f'data="{told.removeprefix("data: ")}"' in one.log()
    hint = one.says("^hint: ").string
    assert f"the chat in {tmp_path / 'moved' / 'chat.db'} is not that of the cluster" in hint
    assert "chatd import --cluster" in hint
    two = start("--cluster", f"{nats.url}/{stream}", data="other")
    assert f"data: stream {stream} of NATS, 1 replica; copy: {tmp_path / 'other'}" in two.lines
    two.says("^certificate: ")
    assert not [line for line in two.lines if line.startswith(("hint: ", "warning: "))]
