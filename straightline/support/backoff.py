"""Exponential backoff with jitter."""

import random

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """The delays between retries: doubling from `min_s`, at most `max_s`, with "equal jitter".

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Attributes:
        min_s: seconds after the first failure, before jitter.
        max_s: seconds that no delay exceeds.
    """

    min_s: float
    max_s: float

    def delay(self, failures: int, chance: float | None = None) -> float:
        """Return the seconds to wait before the next try.

        Args:
            failures: in a row, 1 after the first.
            chance: of [0, 1), random by default; spreads clients over the upper half of the delay, so that
                they do not all return at once.
        """
        if chance is None:
            chance = random.random()  # noqa: S311 - jitter is no secret
        return min(self.max_s, self.min_s * 2 ** min(failures - 1, 16)) * (0.5 + chance / 2)
