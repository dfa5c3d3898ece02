"""The health of the other pools of this backend, from their heartbeats."""

from collections.abc import Callable

from straightline.contracts import Heartbeat
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.signals import MAX_MISSED_HEARTBEATS
from straightline.errors import ContractError
from straightline.names import Backend


class Peers:
    """The healthy pools of the same backend. One thread updates it; any thread may read.

    Args:
        backend: this pool's backend.
        worker: this pool's node name.
        clock: seconds since the epoch.
    """

    def __init__(self, backend: Backend, worker: str, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._worker = worker
        self._clock = clock
        self._healthy_until: dict[str, float] = {}
        self._last_heartbeat_at = 0.0

    def on_heartbeat(self, body: bytes) -> None:
        """Apply a heartbeat of any pool; one that cannot be decoded is skipped."""
        try:
            beat = decode(body, Heartbeat)
        except ContractError:
            return
        self._last_heartbeat_at = self._clock()
        if beat.backend != self._backend or beat.worker == self._worker:
            return
        if beat.healthy and not beat.closing:
            # On this host's clock: that of the sender may be wrong.
            self._healthy_until[beat.worker] = self._last_heartbeat_at + MAX_MISSED_HEARTBEATS * beat.interval
        else:
            self._healthy_until.pop(beat.worker, None)

    def any_healthy(self) -> bool:
        """Return whether another pool is healthy, as far as is known.

        The age of a heartbeat counts up to the last heartbeat received from any pool, this one included:
        after a network outage, in which none arrives, the state before it still counts.
        """
        return any(until > self._last_heartbeat_at for until in self._healthy_until.copy().values())
