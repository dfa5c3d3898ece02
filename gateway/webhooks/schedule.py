"""When a webhook that was not taken is sent again. Pure."""

from typing import Final

RETRY_DELAYS_S: Final = (5.0, 60.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0)
"""Seconds after each failure; more than a day in all, as Standard Webhooks advises."""


def retry_delay(failures: int, chance: float) -> float | None:
    """Return the seconds until the next try; None where it is given up.

    Args:
        failures: so far, 1 after the first.
        chance: of [0, 1); spreads what failed together over a tenth more.
    """
    if failures > len(RETRY_DELAYS_S):
        return None
    return RETRY_DELAYS_S[failures - 1] * (1 + chance / 10)
