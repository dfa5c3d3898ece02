"""The breakers that the scheduler has opened: what was placed here before is given back, not failed."""

import logging
from collections.abc import Callable
from typing import Final

from straightline.contracts import BreakerState
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.names import Backend

logger = logging.getLogger(__name__)

STATE_TTL_S: Final = 3.0
"""Seconds after which a state counts no more: it is told each second while it lasts."""


class OpenBreakers:
    """Of this pool's backend. One thread tells, any may ask.

    Args:
        backend: this pool's.
        clock: seconds since the epoch.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        self._open: dict[str | None, tuple[str, float]] = {}  # by model: why, and until when to believe it

    def update(self, body: bytes) -> None:
        """Take a signal of the scheduler's."""
        try:
            state = decode(body, BreakerState)
        except ContractError as error:
            logger.warning("a breaker's state cannot be read: %s", error)
            return
        if state.backend != self._backend:
            return
        if state.open:
            self._open[state.model] = (state.why or "it keeps failing", self._clock() + STATE_TTL_S)
        else:
            self._open.pop(state.model, None)

    def refusal(self, model: str) -> str | None:
        """Return why this model is not to be asked here now; None where it is."""
        if self._open:
            for key in (None, model):
                why, until = self._open.get(key, ("", 0.0))
                if until > self._clock():
                    return why
        return None
