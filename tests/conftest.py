"""What the tests share: daemons and terminals that are ended whatever happens."""

from contextlib import closing
from itertools import count

import pytest
from bench import Bench
from hypothesis import HealthCheck, settings
from peers.nats import Nats, names
from peers.shells import Shells
from support import Chatd, selectors_here

from chatd.cluster.store import ClusterStore
from chatd.store.memory import MemoryStore
from chatd.store.sqlite import SqliteStore

# Every run of the suite draws the same few examples; `make properties` draws many, and others each
# time. Nothing is judged by the clock of a machine that may be busy.
TIMELESS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few", TIMELESS, max_examples=20, derandomize=True)
settings.register_profile("many", TIMELESS, max_examples=200)
settings.load_profile("few")


@pytest.fixture(autouse=True, scope="session")
def _settings_of_nobody(tmp_path_factory):
    """Whoever runs the tests may have settings of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def start(tmp_path):
    """Start daemons, each with a data folder below `tmp_path`, ended with the test."""
    started: list[Chatd] = []

    def begin(*args, data="data", **more) -> Chatd:
        one = Chatd(tmp_path / data, *args, **more)
        started.append(one)
        return one

    yield begin
    for one in started:
        one.end()


@pytest.fixture(params=selectors_here())
def everywhere(request, start):
    """A daemon on each selector of this machine."""
    return start(selector=request.param)


@pytest.fixture
def chatd(start) -> Chatd:
    """One daemon on the loopback, open to everybody."""
    return start()


@pytest.fixture
def shells(tmp_path):
    """Everybody in front of a terminal, in one folder."""
    with closing(Shells(tmp_path)) as on_stage:
        yield on_stage


@pytest.fixture
def ann(shells, chatd):
    """A shell at its prompt."""
    return shells.log_in(chatd, "ann")


@pytest.fixture
def ben(shells, chatd, ann):
    """Somebody without a terminal, of whom ann has heard."""
    peer = shells.peer(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    return peer


@pytest.fixture
def sqlite_store(tmp_path):
    """Makes stores in folders below `tmp_path`; all of them are closed with the test."""
    opened: list[SqliteStore] = []

    class Closed(SqliteStore):
        def __init__(self, folder):
            super().__init__(folder)
            opened.append(self)

        def close(self):
            opened.remove(self)
            super().close()

    yield lambda name="kept": Closed(tmp_path / name)
    while opened:
        opened[-1].close()


@pytest.fixture(scope="session")
def nats(tmp_path_factory):
    """One server for all; each test takes a stream of its own."""
    one = Nats(tmp_path_factory.mktemp("nats"))
    yield one
    one.end()


@pytest.fixture
def own_nats(tmp_path):
    """A server that the test may ill-treat."""
    one = Nats(tmp_path / "nats")
    yield one
    one.end()


@pytest.fixture
def stream() -> str:
    """The name of a stream that nobody has used."""
    return f"log{next(names)}"


@pytest.fixture
def node(nats, stream, tmp_path):
    """Makes stores that share one stream, each a node; all of them are closed with the test."""
    opened: list[ClusterStore] = []
    folders = count()

    class Closed(ClusterStore):
        def close(self):
            if self in opened:  # else it was refused at its start
                opened.remove(self)
            super().close()

    def begin(**more) -> ClusterStore:
        folder = tmp_path / f"copy{next(folders)}"
        opened.append(Closed([nats.url], folder, **{"name": stream, **more}))
        return opened[-1]

    yield begin
    for one in [*opened]:
        one.close()


@pytest.fixture(params=["memory", "sqlite"])
def begin(request, sqlite_store):
    """Begin benches, on either keeper of the log."""

    def bench(**more) -> Bench:
        store = MemoryStore() if request.param == "memory" else sqlite_store()
        return Bench(store=store, **more)

    return bench
