"""The command line as an operator meets it."""

import subprocess
import sys

import pytest
from support import one_error, run_chatd

from chatd import __version__


def test_it_says_where_it_listens_how_to_join_and_where_things_are(start, tmp_path):
    chatd = start()
    host, port = "127.0.0.1", chatd.port
    assert chatd.lines[:4] == [
        f"listening on {host}, port {port}",
        f"join from here: chatsh {host} {port} NAME",
        f"log: {chatd.data / 'server.log'}",
        f"data: {chatd.data}",
    ]


def test_everywhere_it_says_how_to_join_from_elsewhere_too(start):
    chatd = start(host="")
    assert chatd.lines[0] == f"listening on all addresses, port {chatd.port}"
    assert chatd.lines[2].startswith("join from elsewhere: chatsh ")


def test_the_log_may_be_elsewhere(start, tmp_path):
    elsewhere = tmp_path / "a b" / "chat.log"
    chatd = start("--log", str(elsewhere))
    chatd.join("ann")
    assert "name=ann" in elsewhere.read_text()
    assert not (chatd.data / "server.log").exists()


def test_guests_are_named_by_the_operators_pattern(start):
    chatd = start("--guest-name", "User {n}")
    assert chatd.join().welcome["name"] == "User 1"


def test_version_and_help():
    assert run_chatd("--version").stdout == f"chatd {__version__}\n"
    helped = run_chatd("--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "PASSWORD_FILE" in helped.stdout
    assert "chatd passwd FILE NAME" in helped.stdout


@pytest.mark.parametrize("args", [["x"], ["65536"], ["--nonsense"], ["8000", "a", "b"]])
def test_wrong_arguments_are_one_line(args):
    one_error(run_chatd(*args))


def test_without_standard_streams_it_runs_all_the_same(tmp_path):
    """As `chatd <&- >&- 2>&-` starts it; `--version` ends by itself."""
    line = f'exec "{sys.executable}" -m chatd --version <&- >&- 2>&-'
    assert subprocess.run(["/bin/sh", "-c", line], check=False).returncode == 0


def test_with_a_closed_standard_input_it_serves(start):
    chatd = start(program=("-c", "import os, sys; os.close(0); sys.stdin = None\n"
                           "from chatd.cli import main; sys.exit(main())"))  # fmt: skip
    assert chatd.join("ann").welcome["name"] == "ann"
    assert chatd.stop() == 0
