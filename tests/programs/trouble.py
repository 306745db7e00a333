"""A server of lines (`echo WORD` is answered by `WORD`) that makes trouble for who runs it."""

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path


def escape(port_file):
    """Leave a program behind that has another session, another parent and no environment."""
    code = (
        "import os, socket, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        f"open({str(port_file)!r}, 'w').write(f'{{os.getpid()}} {{s.getsockname()[1]}}')\n"
        "time.sleep(1000)\n"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", code], env={}, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # fmt: skip
    while not (port_file.exists() and port_file.read_text()):
        os.sched_yield()


def count(path):
    """One more; how many there were."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        number = int(file.read() or 0)
        file.truncate(0)
        file.write(str(number + 1))
    return number


def descriptors():
    """Those that are open here, without the one that lists them."""
    names = sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())
    return [number for number in names if Path(f"/proc/self/fd/{number}").exists()]


def serve(listener, answer):
    connection, _ = listener.accept()
    reset = contextlib.suppress(ConnectionError)  # whoever leaves may do it in any way
    with reset, connection, connection.makefile("rw", newline="\n") as lines:
        for line in lines:
            lines.write(answer(line.removeprefix("echo ").rstrip("\n")) + "\n")
            lines.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--escape", type=Path, help="leave a daemon, its number in this file")
    parser.add_argument("--kill-parent", action="store_true")
    parser.add_argument("--stop-parent", action="store_true")
    parser.add_argument("--counter", type=Path, help="counts the starts of this server")
    parser.add_argument("--every", type=int, default=1, help="every Nth start has the fault")
    parser.add_argument("--say", default="", help="a line to print at the start")
    args = parser.parse_args()
    print("open", *descriptors(), flush=True)
    print(args.say.encode().decode("unicode_escape"), flush=True)
    if args.escape:
        escape(args.escape)
    if args.kill_parent:
        os.kill(os.getppid(), signal.SIGKILL)
    if args.stop_parent:
        os.kill(os.getppid(), signal.SIGSTOP)
    faulty = args.counter is not None and count(args.counter) % args.every == args.every - 1

    def answer(line):
        return "wrong" if faulty and line == "fault?" else line

    with socket.create_server(("127.0.0.1", args.port)) as listener:
        print(f"listening on port {listener.getsockname()[1]}", flush=True)
        serve(listener, answer)


main()
