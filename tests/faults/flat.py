"""Whether a size that was measured again and again has stopped growing."""

from collections.abc import Sequence
from statistics import median

FLAT = 0.05


def growth(sizes: Sequence[float]) -> float | None:
    """How much the last third is above the second, by their medians: 0.1 is a tenth.

    The first third is for warming up. None for fewer than three sizes.
    """
    third = len(sizes) // 3
    if not third:
        return None
    return median(sizes[2 * third :]) / median(sizes[third : 2 * third]) - 1
