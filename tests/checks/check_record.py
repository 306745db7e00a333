"""Record and accept, at full size: what is recorded passes a hundred times of a hundred."""

import pytest
from programs.kit import PROFILE, closing, harness
from test_harness_learn import SMALL, learned, plays
from test_harness_record import CHATD, SEED, recorded


@pytest.mark.parametrize("profile", [CHATD, PROFILE], ids=["chatd", "small"])
def test_the_recorded_dialogue_of_three_passes_a_hundred_times(tmp_path, profile):
    out = recorded(tmp_path, SEED, profile)
    done = harness("run", out, "--profile", profile, "--repeat", 50)
    again = harness("run", out, "--profile", profile, "--repeat", 50)
    assert [closing(one) for one in (done, again)] == ["1 passed, 0 failed, 0 skipped"] * 2


CLIENTS = {
    "chatd": ("chatd {port} --host 127.0.0.1", "chatsh {host} {port} {name}"),
    "small": (SMALL, f"python3 {PROFILE.parent}/cooked.py {{port}} {{name}}"),
}


@pytest.mark.parametrize(("server", "client"), CLIENTS.values(), ids=CLIENTS)
def test_a_dialogue_runs_with_what_was_learned_of_a_server_and_its_client(tmp_path, server, client):
    done, out = learned(tmp_path, server, client)
    assert done.returncode == 0, done.stdout + done.stderr
    played = plays(tmp_path, out, "shell", "--repeat", 10)
    assert closing(played) == "1 passed, 0 failed, 0 skipped", played.stdout


def test_a_server_that_is_never_ready_is_given_up(tmp_path):
    done, out = learned(tmp_path, f"{SMALL} --hang")
    assert (done.returncode, out.exists()) == (3, False)
    assert "it runs, but takes no connections" in done.stderr
