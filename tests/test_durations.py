"""Durations fall into the bucket of the first bound that they do not exceed."""

import pytest

from chatd.net.durations import BOUNDS, Durations


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0.0, 0),
        (BOUNDS[0], 0),
        (BOUNDS[0] + 1e-9, 1),
        (BOUNDS[-1], len(BOUNDS) - 1),
        (BOUNDS[-1] + 1, len(BOUNDS)),
    ],
)
def test_a_bound_belongs_to_its_bucket_and_the_last_bucket_has_none(seconds: float, bucket: int):
    durations = Durations()
    durations.observe(seconds)
    assert [index for index, count in enumerate(durations.counts) if count] == [bucket]
    assert durations.total == seconds
