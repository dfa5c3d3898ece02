"""The scheduler's open breakers: requests placed before a breaker opened are given back without a call."""

from collections.abc import Callable
from typing import Final

from straightline.contracts import BreakerState
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.names import Backend
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

STATE_TTL_S: Final = 3.0
"""An open breaker is announced each second; without news it counts as closed after this time."""


class OpenBreakers:
    """The open breakers of this pool's backend. One thread updates it; any thread may read.

    Args:
        backend: the pool's backend.
        clock: seconds since the epoch.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        # By model, None for the whole backend: the reason, and when the state ceases to count.
        self._open: dict[str | None, tuple[str, float]] = {}

    def update(self, body: bytes) -> None:
        """Apply a breaker signal of the scheduler; one that cannot be decoded is logged and skipped."""
        try:
            state = decode(body, BreakerState)
        except ContractError as error:
            logger.warning("breaker_state_unreadable", error=error)
            return
        if state.backend != self._backend:
            return
        if state.open:
            self._open[state.model] = (state.why or "it keeps failing", self._clock() + STATE_TTL_S)
        else:
            self._open.pop(state.model, None)

    def refusal(self, model: str) -> str | None:
        """Return why this model must not be called here now; None if it may be."""
        if self._open:
            for key in (None, model):
                why, until = self._open.get(key, ("", 0.0))
                if until > self._clock():
                    return why
        return None
