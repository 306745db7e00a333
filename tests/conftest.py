"""What the tests share: daemons that are ended whatever happens."""

import pytest
from support import Chatd


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


@pytest.fixture
def chatd(start) -> Chatd:
    """One daemon on the loopback, open to everybody."""
    return start()
