"""The other pools of this backend, by their heartbeats: may work be left to them?"""

from collections.abc import Callable

from straightline.contracts import Heartbeat
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.signals import MAX_MISSED_HEARTBEATS
from straightline.errors import ContractError
from straightline.names import Backend


class Peers:
    """One thread tells, any may ask.

    Args:
        backend: this pool's.
        worker: its node name.
        clock: seconds since the epoch.
    """

    def __init__(self, backend: Backend, worker: str, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._worker = worker
        self._clock = clock
        self._healthy_until: dict[str, float] = {}
        self._heard = 0.0

    def on_heartbeat(self, body: bytes) -> None:
        """Take a heartbeat of whatever pool; what cannot be read says nothing."""
        try:
            beat = decode(body, Heartbeat)
        except ContractError:
            return
        self._heard = self._clock()
        if beat.backend != self._backend or beat.worker == self._worker:
            return
        if beat.healthy and not beat.closing:
            # By our own clock: another host's may be wrong.
            self._healthy_until[beat.worker] = self._heard + MAX_MISSED_HEARTBEATS * beat.interval
        else:
            self._healthy_until.pop(beat.worker, None)

    def any_healthy(self) -> bool:
        """Whether another pool can answer, as far as is known.

        Counted from when any heartbeat was heard, our own included: who has lost the line that brings them,
        as after an outage of the network, goes on from what was known.
        """
        return any(until > self._heard for until in self._healthy_until.copy().values())
