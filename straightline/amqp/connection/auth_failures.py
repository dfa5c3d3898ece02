"""When a refused user or password is no matter of waiting any more. Pure."""

from typing import Final

REFUSAL_TIMEOUT_S: Final = 5.0
"""Seconds for which the broker must have refused, with no other failure between, before waiting is no help.
A broker that starts listens before all its users are made."""


class AuthFailures:
    """The broker's refusals in a row."""

    def __init__(self) -> None:
        self._since: float | None = None

    def record(self, now: float, *, refused: bool) -> bool:
        """Note that a connection failed, and tell whether waiting is no help.

        Args:
            now: in seconds, of a clock that only goes on.
            refused: whether the broker refused the user or the password.
        """
        if not refused:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= REFUSAL_TIMEOUT_S
