"""A program that is forked from a process that has read its modules is as one that was started."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import ready

from chatd.net.loop import FD_SETSIZE

PATIENCE = 60.0  # seconds, only for giving up


def forked(program, *words, **env):
    return ready.run(program, *words, env=os.environ | env, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("chatd", ["--version"]),
        ("chatd", ["0", "--host", "nowhere.invalid", "--data", "data"]),
        ("chatsh", ["--help"]),
        ("chatsh", ["a", "b"]),
        ("harness", ["check", "nothing.yaml"]),
        ("harness", ["explain", "H012"]),
    ],
)
def test_it_says_the_same_and_ends_as_a_start_does(monkeypatch, tmp_path, program, words):
    monkeypatch.chdir(tmp_path)
    started = subprocess.run(
        [sys.executable, "-m", program, *words], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    fork = forked(program, *words)
    assert started.stdout + started.stderr
    assert (fork.returncode, fork.stdout, fork.stderr) == (
        started.returncode, started.stdout, started.stderr,
    )  # fmt: skip


def test_what_an_interpreter_reads_counts_and_its_end_is_that_of_one(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import atexit; atexit.register(print, 'the end')")
    assert forked("chatd", "--version", PYTHONPATH=str(tmp_path)).stdout.endswith("\nthe end\n")
    assert "the end" not in forked("chatd", "--version").stdout


def test_its_end_by_a_signal_is_told(chatd):
    assert chatd.process.poll() is None
    chatd.signal(signal.SIGKILL)
    assert chatd.wait() == -signal.SIGKILL


@pytest.fixture
def high():
    """The end of a pipe behind a thousand other descriptors, and its other end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    said, says = os.pipe()
    yield fcntl.fcntl(said, fcntl.F_DUPFD, FD_SETSIZE), says
    os.close(said)
    os.close(says)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_is_waited_for_whatever_number_its_descriptor_has(high):
    said, says = high
    os.write(says, ready.NUMBER.pack(os.getpid()))
    started = ready.Start(said)
    assert started.pid == os.getpid()
    assert started.wait(0) is None
    os.write(says, ready.NUMBER.pack(2 << 8))  # as wait(2) has it
    assert started.wait() == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asked of the Linux kernel")
def test_nobody_else_keeps_its_output_open(chatd):
    folder = Path(f"/proc/{chatd.process.pid}/fd")
    output = (folder / "1").readlink()
    assert (folder / "2").readlink() == output
    assert {one.name for one in folder.iterdir() if one.readlink() == output} == {"1", "2"}
    assert chatd.stop() == 0
    assert chatd.process.stdout.read() == ""
