"""Record and accept, at full size: what is recorded passes a hundred times of a hundred."""

import pytest
from programs.kit import PROFILE, closing, harness
from test_harness_record import CHATD, SEED, recorded


@pytest.mark.parametrize("profile", [CHATD, PROFILE], ids=["chatd", "small"])
def test_the_recorded_dialogue_of_three_passes_a_hundred_times(tmp_path, profile):
    out = recorded(tmp_path, SEED, profile)
    done = harness("run", out, "--profile", profile, "--repeat", 50)
    again = harness("run", out, "--profile", profile, "--repeat", 50)
    assert [closing(one) for one in (done, again)] == ["1 passed, 0 failed, 0 skipped"] * 2
