"""What who runs a daemon relies on: reloading, the service manager, and what is packaged."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
from msgspec import convert
from peers.nats import PROGRAM
from ruamel.yaml import YAML
from support import PATIENCE, one_error, run_chatd

from chatd.config import parse
from chatd.core.limits import Limits

PACKAGING = Path(__file__).parent.parent / "packaging"


# --- reload ---------------------------------------------------------------------------------------


def full(chatd) -> bool:
    """Whether one more is refused; who is let in goes again, and is waited for."""
    with chatd.wire() as wire:
        frame = wire.send("who").read()
        if frame["error"] != 108:
            wire.send("quit").rest()
        return frame["error"] == 108


def test_a_reload_takes_the_new_limits_and_drops_nobody(start, tmp_path):
    limits = tmp_path / "limits.toml"
    limits.write_text("max_clients = 100\n")
    chatd = start("--limits", limits, "--max-clients", "1")
    ann, bob = chatd.join("ann"), chatd.join("bob")
    limits.write_text("max_clients = 2\ngarbage = 2\n")
    chatd.signal(signal.SIGHUP)
    chatd.says(r"^read again: the passwords, the limits and the certificate\.$")
    assert full(chatd)
    ann.tell("bob", "still here")
    bob.await_("incoming", content="still here")
    assert [f["code"] for f in bob.raw(b"one\ntwo\n").rest()] == ["error", "error", "bye"]
    assert ann.await_("notice")["kind"] == "lost"


@pytest.mark.parametrize("wrong", ["max_clients = 'few'\n", "max_client = 1\n", None])
def test_a_wrong_file_of_limits_leaves_everything_and_says_so(start, tmp_path, wrong: str | None):
    limits, users = tmp_path / "limits.toml", tmp_path / "users"
    users.write_text("ann secret\n")
    users.chmod(0o600)
    limits.write_text("max_clients = 1\n")
    chatd = start(users, "--limits", limits)
    ann = chatd.join("ann", password="secret")
    limits.write_text(wrong) if wrong else limits.unlink()
    users.write_text("ann fresh\n")
    chatd.signal(signal.SIGHUP)
    chatd.says(rf"^everything stays as it was: .*{re.escape(str(limits))}")
    assert full(chatd)
    assert 'event=reload failed="' in chatd.log()
    ann.ask("quit")
    ann.close()
    while full(chatd):
        pass
    assert chatd.join("ann", password="secret").welcome["code"] == "welcome"


def test_a_wrong_file_of_limits_keeps_it_from_starting(tmp_path):
    limits = tmp_path / "limits.toml"
    limits.write_text("tries = 0\n")
    words = ["0", "--limits", str(limits), "--data", str(tmp_path / "data")]
    assert "limits.toml: Expected `int` >= 1" in one_error(run_chatd(*words))


def test_a_reload_begins_the_log_anew_where_it_was_moved_away(start, tmp_path):
    """As logrotate does it: the old file is renamed, then comes the signal."""
    chatd = start()
    log = chatd.data / "server.log"
    log.rename(tmp_path / "server.log.1")
    chatd.signal(signal.SIGHUP)
    chatd.says("^read again")
    chatd.join("ann")  # answered when the log is written
    assert "event=reload" in chatd.log()
    assert "event=start" in (tmp_path / "server.log.1").read_text()
    assert log.stat().st_mode & 0o777 == 0o600


# --- the service manager --------------------------------------------------------------------------


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request, tmp_path, monkeypatch):
    """A socket as systemd gives it to a service of Type=notify."""
    if request.param == "a path":
        address = named = str(tmp_path / "notify")
    else:
        named = f"@chatd-{os.getpid()}-{tmp_path.name}"
        address = "\0" + named[1:]
    monkeypatch.setenv("NOTIFY_SOCKET", named)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(PATIENCE)
        yield sock


def test_the_service_manager_is_told_of_each_state(manager, start):
    chatd = start()
    greeting = f"STATUS=listening on 127.0.0.1, port {chatd.port}"
    assert manager.recv(500) == b"READY=1\n" + greeting.encode()
    assert chatd.join("ann").settle() == []
    chatd.signal(signal.SIGHUP)
    state, since = manager.recv(500).split(b"\n")
    assert state == b"RELOADING=1"
    assert re.fullmatch(rb"MONOTONIC_USEC=\d+", since)
    assert manager.recv(500) == b"READY=1\nSTATUS=reloaded"
    chatd.signal(signal.SIGTERM)
    assert manager.recv(500) == b"STOPPING=1"
    assert chatd.wait() == 0


def test_the_service_manager_is_told_who_takes_over(manager, start):
    chatd = start()
    assert manager.recv(500).startswith(b"READY=1\n")
    chatd.upgrade()
    state, since = manager.recv(500).split(b"\n")
    assert state == b"RELOADING=1"
    assert re.fullmatch(rb"MONOTONIC_USEC=\d+", since)
    main, ready, status = manager.recv(500).decode().split("\n")
    assert (main, ready) == (f"MAINPID={chatd.pid}", "READY=1")
    assert re.fullmatch(rf"STATUS=upgraded to chatd \S+, process {chatd.pid}", status)
    chatd.signal(signal.SIGTERM)
    assert manager.recv(500) == b"STOPPING=1"
    chatd.wait()


def test_a_service_manager_that_is_gone_keeps_nobody_from_talking(start, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert start().join("ann").settle() == []


# --- what is packaged -----------------------------------------------------------------------------


def settings(name: str) -> dict[str, list[str]]:
    """Key to values of a unit file."""
    found: dict[str, list[str]] = {}
    for line in (PACKAGING / name).read_text().splitlines():
        key, assigned, value = line.partition("=")
        if assigned and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_starts_chatd_as_it_understands_it():
    (start,) = settings("chatd.service")["ExecStart"]
    words = shlex.split(start.replace("$CHATD_OPTIONS", "--guests"))
    config = parse(words[1:])
    assert (config.port, config.data, config.guests) == (8000, Path("/var/lib/chatd"), True)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    text = (PACKAGING / "chatd.service").read_text()
    unit = tmp_path / "chatd.service"
    unit.write_text(text.replace("/opt/chatd/bin/chatd", sys.executable))
    verify = ["systemd-analyze", "verify", "--man=no", unit]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


def containerfile() -> str:
    return re.sub(r"\\\n\s*", "", (PACKAGING / "Containerfile").read_text())


def test_the_check_of_the_container_is_good_while_the_daemon_serves(chatd):
    (command,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", containerfile(), re.MULTILINE)
    _python, *words = json.loads(command.replace(":8000/", f":{chatd.port}/"))

    def check() -> int:
        done = subprocess.run([sys.executable, *words], stderr=subprocess.DEVNULL, timeout=PATIENCE)
        return done.returncode

    assert check() == 0
    assert chatd.stop() == 0
    assert check() != 0


def test_the_container_takes_what_the_package_is_made_of_and_starts_chatd():
    root = PACKAGING.parent
    copied = {
        word
        for names in re.findall(r"^COPY (?!--)(.*) \S+$", containerfile(), re.MULTILINE)
        for word in names.split()
    }
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert copied >= {"pyproject.toml", project["project"]["readme"]}
    assert copied >= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert all((root / name).exists() for name in copied)
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])$", containerfile(), re.MULTILINE)
    assert parse(json.loads(entry)[1:]).port == 8000


# --- what is written about it ---------------------------------------------------------------------

PAGE = (PACKAGING.parent / "docs" / "operations.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_names_every_limit_with_its_default():
    section = PAGE.split("\n## Limits\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", section, re.MULTILINE)
    shown = tomllib.loads("\n".join(f"{name} = {value}" for name, value in rows))
    assert convert(shown, Limits) == Limits()
    assert set(shown) == set(Limits.__struct_fields__)


def test_the_file_of_limits_that_the_page_shows_is_one():
    (text,) = blocks("toml")
    assert convert(tomllib.loads(text), Limits) != Limits()


def test_the_page_names_every_metric_and_its_alerts_use_no_other(chatd):
    with urllib.request.urlopen(f"http://127.0.0.1:{chatd.port}/metrics") as response:
        text = response.read().decode()
    there = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    named = set(re.findall(r"`(chatd_\w+)(?:\{\w+(?:,\w+)*\})?`", PAGE))
    assert named == {name for name in there if not name.startswith("process_")}
    scraping, alerts = (YAML(typ="safe").load(block) for block in blocks("yaml"))
    assert scraping["scrape_configs"][0]["job_name"] == "chatd"
    for rule in alerts["groups"][0]["rules"]:
        used = set(re.findall(r"\bchatd_[a-z_]+", rule["expr"]))
        assert {name.removesuffix("_bucket") for name in used} <= there


def of_nats() -> str:
    """What the page has NATS read."""
    (text,) = blocks("conf")
    return text


@pytest.mark.skipif(PROGRAM is None, reason="no nats-server here")
def test_nats_takes_the_configuration_that_the_page_shows(tmp_path):
    path = tmp_path / "nats-server.conf"
    path.write_text(of_nats())
    done = subprocess.run([PROGRAM, "-t", "-c", path], capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def test_each_node_of_the_page_knows_its_own_nats_first_and_then_all_of_them(monkeypatch):
    (options,) = re.findall(r'^CHATD_OPTIONS="(.*--replicas .*)"$', PAGE, re.MULTILINE)
    monkeypatch.setenv("CHATD_CLUSTER", *re.findall(r"^CHATD_CLUSTER=(.*)$", PAGE, re.MULTILINE))
    config = parse(["8000", *shlex.split(options)])
    user, password = re.search(
        r'^authorization { user: (\w+), password: "(\w+)" }', of_nats(), re.M
    ).groups()
    hosts = re.findall(r"@(\w+):6222", of_nats())
    assert config.cluster == tuple(
        f"nats://{user}:{password}@{one}:4222" for one in ["localhost", *hosts]
    )
    assert config.replicas == len(hosts) == 3
