"""`server.log`: a line for each thing that happened, that nothing can break."""

import os
import re
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatd import log as module
from chatd.log import ServerLog
from chatd.wire.errors import ConfigError


@pytest.fixture
def log(tmp_path):
    one = ServerLog(tmp_path / "logs" / "server.log")
    yield one
    one.close()


def lines(log: ServerLog) -> list[str]:
    log.flush()
    return log.path.read_text("utf-8").splitlines()


def test_a_line_is_time_event_and_fields(log):
    log.write(0, "message", {"seq": 5, "from": "ann lee", "to": "*", "id": None, "text": 'a "b"'})
    assert lines(log) == [
        'time=1970-01-01T00:00:00.000Z event=message seq=5 from="ann lee" to=* text="a \\"b\\""'
    ]


def test_nobody_else_can_read_it_even_where_it_was_there_before(tmp_path):
    path = tmp_path / "server.log"
    path.write_text("before\n")
    path.chmod(0o666)
    before = os.umask(0)
    log = ServerLog(path)
    os.umask(before)
    log.write(0, "start", {})
    log.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("before\n")


def test_it_is_rotated_and_a_few_older_ones_are_kept(log, monkeypatch):
    monkeypatch.setattr(log._handler, "maxBytes", 1000)
    for number in range(200):
        log.write(0, "message", {"seq": number, "text": "x" * 50})
        log.flush()
    files = sorted(log.path.parent.iterdir())
    assert len(files) == module.KEPT + 1
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in files)
    assert all(one.stat().st_size <= 1000 for one in files)
    assert "seq=199" in lines(log)[-1]


def test_a_traceback_can_be_taken_for_no_event(log):
    log.traceback('Traceback\n  File "x"\ntime=now event=connect name=evil')
    assert all(line.startswith("  | ") for line in lines(log))


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.text())
def test_no_text_makes_a_second_line_or_drives_a_terminal(log, text: str):
    before = len(log.path.read_bytes().split(b"\n"))
    log.write(0, "message", {"text": text})
    log.flush()
    data = log.path.read_bytes()
    assert len(data.split(b"\n")) == before + 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", data.decode())


def test_a_place_that_cannot_be_written_is_refused_by_name(tmp_path):
    for path in (tmp_path, tmp_path / "x" / "log"):
        (tmp_path / "x").write_text("in the way") if not (tmp_path / "x").exists() else None
        with pytest.raises(ConfigError, match=f"cannot write the log {path}: .*--log"):
            ServerLog(path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_a_full_disk_is_told_once_and_nothing_else_happens(capsys):
    from pathlib import Path

    log = ServerLog(Path("/dev/full"))
    for _ in range(5):
        log.write(0, "message", {"text": "x" * 100})
        log.flush()
    log.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("chatd: cannot write /dev/full: ")


def test_it_is_begun_anew_when_it_was_moved_away(log):
    log.write(0, "one", {})
    log.path.rename(log.path.with_name("old"))
    log.reopen()
    log.write(0, "two", {})
    assert "event=two" in lines(log)[0]


def test_lines_are_gathered_and_written_together_in_their_order(log):
    for number in range(5):
        log.write(number // 2, "message", {"seq": number})
    assert log.path.read_text() == ""
    assert lines(log) == [
        f"time=1970-01-01T00:00:00.00{number // 2}Z event=message seq={number}"
        for number in range(5)
    ]


def test_no_more_wait_than_a_bounded_number(log):
    for number in range(module.GATHERED):
        log.write(0, "message", {"seq": number})
    assert len(log.path.read_text().splitlines()) == module.GATHERED


def test_a_traceback_is_written_at_once_behind_what_came_before(log):
    log.write(0, "error", {})
    log.traceback("Traceback")
    assert log.path.read_text().splitlines()[1:] == ["  | Traceback"]


def test_what_was_gathered_before_the_file_was_moved_stays_with_it(log):
    log.write(0, "one", {})
    log.flush()
    log.write(0, "two", {})
    old = log.path.with_name("old")
    log.path.rename(old)
    log.reopen()
    log.write(0, "three", {})
    assert "event=three" in lines(log)[0]
    assert [line.split("event=")[1] for line in old.read_text().splitlines()] == ["one", "two"]


def test_a_file_that_was_there_before_counts_as_full_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "server.log"
    path.write_text("x" * 990 + "\n")
    monkeypatch.setattr(module, "SIZE", 1000)
    log = ServerLog(path)
    log.write(0, "start", {})
    log.close()
    assert "event=start" in path.read_text()
    assert path.with_name("server.log.1").stat().st_size == 991
