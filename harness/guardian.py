"""Nothing stays behind: whoever plays scenarios is watched, and is cleaned up after its death.

A program under test may fork, change its group, start a session of its own or empty its
environment. Three things find it: it descends from whoever plays (orphans are adopted, Linux), it
carries the mark of the session in its environment, and it dies with its parent (Linux). A session
is a folder; its name is the mark, the homes of all runs are in it. Whoever plays runs is either
below a keeper (`harness.keeper`), which cleans up when its owner is gone, or has a guardian of its
own, a process that waits for the end of a pipe and then does the same.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

MARK = "HARNESS_SESSION"  # environment variable with the name of the session
FOLDER = "harness-run-"  # and the process id of its owner, so that `sweep` knows the dead
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # <sys/prctl.h>
GIVE_UP = 10.0  # seconds for killed processes to be gone
ROOT = Path(__file__).parent.parent


def begin_session() -> Path:
    """A new folder that belongs to this process."""
    return Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-")).resolve()


def start_apart(main: Callable[..., None], kept: int, *arguments: str) -> psutil.Process:
    """A process in a session of its own that shares one descriptor with us, and ends by itself.

    It runs `main` of one of our modules with the descriptor and the arguments. What has been
    imported here need not be imported again where this process can be forked.
    """
    if _is_single():
        return psutil.Process(_fork_apart(main, kept, arguments))
    return psutil.Popen(
        _command(main.__module__, str(kept), *arguments),
        pass_fds=[kept], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _is_single() -> bool:
    """Whether only this thread runs, so that no fork of us inherits a lock that nobody opens."""
    tasks = Path("/proc/self/task")
    return sys.platform == "linux" and tasks.exists() and len(list(tasks.iterdir())) == 1


def _command(module: str, *arguments: str) -> list[str]:
    """Runs `main` of a module of ours; the current folder has no say in imports."""
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); from {module} import main;"
        " main(int(sys.argv[1]), *sys.argv[2:])"
    )
    return [sys.executable, "-P", "-c", code, *arguments]


def _fork_apart(main: Callable[..., None], kept: int, arguments: Sequence[str]) -> int:
    def apart() -> None:
        os.setsid()
        _let_go_of_all_but(kept)
        main(kept, *arguments)

    return fork(apart)


def fork(work: Callable[[], None]) -> int:
    """The process id of a fork that does this, and nothing that the original does at its end."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _let_go_of_all_but(kept: int) -> None:
    """Keep a descriptor and standard error."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


_sessions: list[Path] = []  # the one of this process, once there is one
_adopts = False


def use(session: Path) -> None:
    """Play the runs of this process in a session that somebody else cleans up."""
    _sessions[:] = [session]


def session() -> Path:
    """The session of this process; if it has none yet: a new one, with a guardian."""
    if not _sessions:
        sweep()
        use(_watched_session())
    return _sessions[0]


def _watched_session() -> Path:
    folder = begin_session()
    theirs, ours = os.pipe()
    try:
        guardian = start_apart(main, theirs, str(folder))
    finally:
        os.close(theirs)
    owner = os.getpid()

    def end() -> None:
        if os.getpid() == owner:  # not in a fork of it
            os.close(ours)
            guardian.wait()

    atexit.register(end)
    return folder


def main(pipe: int, folder: str) -> None:
    """The guardian: waits until nobody holds the other end of a pipe, then cleans up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(pipe, 1):
        pass
    clean_up(Path(folder))


def clean_up(folder: Path) -> None:
    """Kill what descends from this process or carries the session's mark; remove its folder."""
    kill_all(lambda: [*descendants(), *marked(MARK, folder.name)])
    remove_tree(folder)


def kill_all(find: Callable[[], list[psutil.Process]]) -> None:
    """Kill what `find` finds until it finds nothing: while one is killed, it may fork another."""
    deadline = time.monotonic() + GIVE_UP
    while (found := find()) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.005)  # the kernel is busy with the dead


def sweep() -> None:
    """Clean up after sessions whose owner was killed together with its guardian."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        pid = folder.name.removeprefix(FOLDER).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and _is_mine(folder):
            kill_all(lambda: list(marked(MARK, folder.name)))  # noqa: B023 - called here
            remove_tree(folder)


def _is_mine(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.getuid()
    except OSError:
        return False


def remove_tree(folder: Path) -> None:
    """Remove a folder, whatever modes the folders in it have."""
    for path, names, _ in os.walk(folder):
        for name in names:
            inner = Path(path) / name
            if not inner.is_symlink():
                with contextlib.suppress(OSError):
                    inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


# Processes.


def adopt_orphans() -> None:
    """From now on whoever loses its parent below this process becomes its child (Linux)."""
    global _adopts
    _adopts = sys.platform == "linux"
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def adopted() -> list[psutil.Process]:
    """Everything that runs below this process, if it is one that adopts orphans."""
    return descendants() if _adopts else []


def die_with_parent(parent: int) -> None:
    """Be killed when the parent dies (Linux); at once, if it is dead already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if sys.platform == "linux" and os.getppid() != parent:
        os._exit(1)


def _prctl() -> Callable[[int, int], object]:
    if sys.platform != "linux":
        return lambda _option, _value: 0
    call = ctypes.CDLL(None, use_errno=True).prctl
    return lambda option, value: call(option, value, 0, 0, 0)


prctl = _prctl()  # loaded before any fork


def descendants(*, but: frozenset[int] = frozenset()) -> list[psutil.Process]:
    """Everything below this process that runs; `but` are children of it to leave alone."""
    found = []
    for child in psutil.Process().children():
        if child.pid not in but:
            with contextlib.suppress(psutil.Error):
                found += [child, *child.children(recursive=True)]
    return [process for process in found if is_running(process)]


def marked(variable: str, value: str) -> Iterator[psutil.Process]:
    """Other processes with this in their environment."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or not is_running(process):
                continue
            if process.environ().get(variable) == value:
                yield process


def is_running(process: psutil.Process) -> bool:
    """Whether it is not only waiting for somebody to ask how it ended."""
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False
