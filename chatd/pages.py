"""The pages for whoever watches the daemon: who may ask for them, and what they say."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chatd.dialects.http import REASONS, TEXT, Request, response
from chatd.wire.errors import ConfigError

LOOPBACK = ("127.0.0.0/8", "::1/128")
READ = ("GET", "HEAD")


class Sources(NamedTuple):
    """Where the pages get what they say from."""

    unready: Callable[[], str]  # why the daemon should not be sent to now; "" where it should
    metrics: Callable[[], tuple[str, bytes]]  # content type and text


class Pages:
    """`/healthz`, `/readyz` and `/metrics`."""

    def __init__(self, allowed: Sequence[str], sources: Sources, wake: Callable[[], None]) -> None:
        """`allowed` are networks beside this machine; `wake` is called when a page can be made."""
        self._allowed = (*LOOPBACK, *allowed)
        self._sources = sources
        self._wake = wake
        self._loading: threading.Thread | None = None
        self._loaded = threading.Event()
        self.answers: Counter[int] = Counter()  # by status
        self._pages: dict[str, Callable[[], tuple[int, str, str | bytes]]] = {
            "/healthz": lambda: (200, TEXT, "ok\n"),
            "/readyz": self._ready,
            "/metrics": lambda: (200, *sources.metrics()),
        }

    def prepared(self, request: Request) -> bool:
        """Whether this can be answered now; if not, `wake` will be called.

        The library behind the metrics is read when they are first asked for, and beside the loop:
        it takes 40 to 160 ms, which neither a start nor anybody who talks has to wait for.
        """
        if request.path != "/metrics" or self._loaded.is_set():
            return True
        if self._loading is None:
            self._loading = threading.Thread(target=self._load, name="metrics", daemon=True)
            self._loading.start()
        return False

    def _load(self) -> None:
        try:
            import chatd.metrics  # noqa: F401 - see `prepared`
        finally:
            self._loaded.set()
            self._wake()

    def answer(self, request: Request, host: str) -> tuple[int, bytes]:
        """Status and whole answer to one request from this address."""
        status, kind, text = self._look_up(request, host)
        self.answers[status] += 1
        return status, response(status, text, kind=kind, body=request.method != "HEAD")

    def _look_up(self, request: Request, host: str) -> tuple[int, str, str | bytes]:
        page = self._pages.get(request.path)
        for wrong, holds in (
            (403, not is_within(host, self._allowed)),
            (request.wrong, bool(request.wrong)),
            (405, request.method not in READ),
            (404, page is None),
        ):
            if holds:
                return wrong, TEXT, REASONS[wrong] + "\n"
        assert page is not None
        return page()

    def _ready(self) -> tuple[int, str, str]:
        why = self._sources.unready()
        return (503, TEXT, why + "\n") if why else (200, TEXT, "ready\n")


def is_within(host: str, networks: Sequence[str]) -> bool:
    """Whether a numeric address belongs to one of the networks."""
    import ipaddress  # few starts need it

    address = ipaddress.ip_address(host)
    return any(address in ipaddress.ip_network(one) for one in networks)


def check_network(text: str) -> str:
    """An address or a network as `--metrics-from` takes it. Raises `ConfigError`."""
    import ipaddress  # few starts need it

    try:
        return str(ipaddress.ip_network(text))
    except ValueError as wrong:
        raise ConfigError(f"--metrics-from takes an address or a network: {wrong}") from None
