"""The retry schedule of webhooks."""

from typing import Final

RETRY_DELAYS_S: Final = (5.0, 60.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0)
"""Delay after each failure; more than a day in total, as Standard Webhooks recommends."""


def retry_delay(failures: int, jitter: float) -> float | None:
    """Return the seconds until the next attempt; None gives up.

    Args:
        failures: failed attempts so far.
        jitter: number in [0, 1) that adds up to a tenth of the delay.
    """
    if failures > len(RETRY_DELAYS_S):
        return None
    return RETRY_DELAYS_S[failures - 1] * (1 + jitter / 10)
