"""When batch work may begin, so that interactive requests do not wait for it."""

from math import inf
from typing import Final

INTERACTIVE_IDLE_S: Final = 2.0
"""Seconds after the last interactive request in which the next one is expected."""
MAX_REST_S: Final = 0.25
"""Seconds after which batch work goes on beside interactive requests, however many there are."""


class InteractiveYield:
    """Decides when a batch slot may begin.

    Args:
        rest: seconds of rest for each second that the last batch slot took.
    """

    def __init__(self, rest: float) -> None:
        self._rest = rest
        self._interactive_at = -inf
        self._ended_at = -inf
        self._took = 0.0

    def interactive(self, now: float) -> None:
        """Note that an interactive request was placed."""
        self._interactive_at = now

    def ended(self, took: float, now: float) -> None:
        """Note that a batch slot is free again after `took` seconds."""
        self._ended_at, self._took = now, took

    def yielding(self, now: float) -> bool:
        """Whether interactive requests are expected."""
        return now - self._interactive_at < INTERACTIVE_IDLE_S

    def wait(self, now: float, *, interactive: int, slots_taken: int) -> float:
        """Return seconds until a batch slot may begin: 0 for now, infinity until a request comes back.

        Args:
            now: seconds since the epoch.
            interactive: interactive requests in flight.
            slots_taken: batch slots in flight that a new one waits for.
        """
        if not self.yielding(now):
            return 0.0
        if slots_taken:
            return inf
        longest = self._ended_at + MAX_REST_S - now
        if interactive:
            return max(0.0, longest)
        return max(0.0, min(longest, self._ended_at + self._took * self._rest - now))
