"""The arrows of the architecture, read from the imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STDLIB = sys.stdlib_module_names
OURS = ("chatd", "chatsh", "harness")

# Which of our modules a package may import beside its own, longest prefix first.
ARROWS: dict[str, tuple[str, ...]] = {
    "chatd.net": (),
    "chatd.wire": (),
    "chatd.core": ("chatd.wire",),
    "chatd.store": ("chatd.core.effects", "chatd.wire"),
    "chatd.cluster": ("chatd.store", "chatd.core.effects", "chatd.wire"),
    "chatd.dialects": ("chatd.wire",),
    "chatd": ("chatd",),
    "chatsh": ("chatd.wire",),
    "harness": (),
}
# Which foreign libraries; where there is no row: whatever the distribution depends on.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "chatd.net": (),
    "chatd.wire": ("msgspec", "precis_i18n"),
    "chatd.core": ("msgspec",),
    "chatd.store": ("msgspec",),
    "chatd.cluster": ("msgspec",),
    "chatd.cluster.link": ("nats",),
    "chatd.dialects": ("msgspec",),
}
SOCKETS = {"select", "selectors", "socket", "socketserver", "asyncio", "ssl"}
CLOCKS = {"time", "monotonic", "time_ns", "monotonic_ns", "perf_counter", "now", "utcnow", "today"}
READ_A_CLOCK = {"chatd.net.loop", "chatsh.link"}


def modules(*packages: str) -> Iterator[tuple[str, Path]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def package_of(module: str) -> str:
    return next(one for one in ARROWS if module == one or module.startswith(one + "."))


def for_types_only(tree: ast.Module) -> set[ast.AST]:
    """The nodes below `if TYPE_CHECKING:`."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for one in node.body
        for inner in ast.walk(one)
    }


def imports(source: str, within: str) -> set[str]:
    """Whole names of what is imported; below TYPE_CHECKING the own package is free."""
    tree = ast.parse(source)
    free = for_types_only(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written out"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        else:
            continue
        found |= {name for name in names if node not in free or not inside(name, within)}
    return found


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def wrong_arrows(module: str, source: str) -> list[str]:
    """What this module may not import."""
    package = package_of(module)
    allowed = (package, *ARROWS[package])
    libraries = LIBRARIES.get(module, LIBRARIES.get(package))
    wrong = []
    for name in sorted(imports(source, package)):
        top = name.partition(".")[0]
        if top in OURS:
            good = any(inside(name, one) for one in allowed) or name == "chatd.__version__"
        elif top in STDLIB:
            good = top not in SOCKETS or may_use_sockets(module, name)
        else:
            good = libraries is None or top in libraries
        if not good:
            wrong.append(f"{module} imports {name}")
    return wrong


def may_use_sockets(module: str, name: str) -> bool:
    if package_of(module) in ("chatd.net", "harness") or module == "chatsh.link":
        return True
    if module == "chatd.cluster.link":
        return name == "asyncio"  # what its library is made for
    if module in ("chatsh.secure", "chatsh.sockets"):
        return name in ("select", "socket") or (name == "ssl" and module == "chatsh.secure")
    if module == "chatsh.lines":
        return name == "select"  # for its standard input
    return module in ("chatd.cli", "chatd.config") and name == "socket"


def clocks(source: str) -> list[str]:
    """Calls that read a clock, and imports of such functions."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            if ast.unparse(node.value) in ("time", "datetime", "date", "datetime.datetime"):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [f"from time import {a.name}" for a in node.names if a.name in CLOCKS]
    return found


@pytest.mark.parametrize(("module", "path"), [pytest.param(*m, id=m[0]) for m in modules(*OURS)])
def test_only_the_arrows_of_the_architecture(module: str, path: Path):
    assert wrong_arrows(module, path.read_text("utf-8")) == []


def test_the_command_line_takes_nothing_of_sockets_but_the_name_of_this_host():
    for module in ("chatd.cli", "chatd.config"):
        source = (ROOT / (module.replace(".", "/") + ".py")).read_text("utf-8")
        used = {
            node.attr
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "socket"
        }
        assert used <= {"gethostname", "socket"}  # `socket.socket`: a type


def test_only_the_loop_and_the_link_read_a_clock():
    readers = {
        module for module, path in modules("chatd", "chatsh") if clocks(path.read_text("utf-8"))
    }
    assert readers <= READ_A_CLOCK
    assert "chatd.net.loop" in readers, "the test sees no clock where there is one"


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("chatd.net.loop", "from chatd.wire import errors"),
        ("chatd.net.loop", "import msgspec"),
        ("chatd.wire.names", "from chatd.core.hub import Hub"),
        ("chatd.wire.names", "import socket"),
        ("chatd.core.hub", "import chatd.store.base"),
        ("chatd.core.hub", "import selectors"),
        ("chatd.store.base", "from chatd.core import hub"),
        ("chatd.store.base", "if TYPE_CHECKING:\n    from chatd.core import hub"),
        ("chatd.dialects.json", "from chatd.core import effects"),
        ("chatd.cluster.book", "import nats"),
        ("chatd.cluster.store", "import asyncio"),
        ("chatd.cluster.link", "import socket"),
        ("chatd.cluster.store", "from chatd.core import hub"),
        ("chatd.daemon", "import socket"),
        ("chatd.daemon", "import chatsh.client"),
        ("chatd.cli", "from socket import create_connection"),
        ("chatsh.client", "from chatd import daemon"),
        ("chatsh.client", "import socket"),
        ("harness.runner", "from chatd.wire import messages"),
        ("harness.runner", "import chatsh"),
    ],
)
def test_a_wrong_arrow_is_found(module: str, line: str):
    assert wrong_arrows(module, line) != []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("chatd.core.login", "if TYPE_CHECKING:\n    from chatd.core.hub import Hub"),
        ("chatd.core.login", "from chatd.wire.names import fold"),
        ("chatd.store.sqlite", "from chatd.core.effects import Entry"),
        ("chatd.net.loop", "import selectors"),
        ("chatd.cli", "import socket"),
        ("chatd.cluster.link", "import nats"),
        ("chatd.cluster.store", "from chatd.store.sqlite import SqliteStore"),
        ("chatsh.client", "from chatd.wire.messages import Hello"),
    ],
)
def test_a_right_arrow_is_let_through(module: str, line: str):
    assert wrong_arrows(module, line) == []


@pytest.mark.parametrize(
    "line", ["time.monotonic()", "x = time.time", "datetime.now()", "from time import monotonic"]
)
def test_a_clock_is_found(line: str):
    assert clocks(line) != []
