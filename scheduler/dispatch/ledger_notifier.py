"""Reports placements to the ledger, which then notices a request that is lost."""

from typing import Final

from scheduler.dispatch.coalescing import Group
from scheduler.dispatch.leases import leases
from scheduler.effects import PendingEffects
from straightline.contracts import Lease
from straightline.messages.ledger import lease_batch

LEASE_FLUSH_DELAY_S: Final = 0.01
"""Seconds by which the ledger may learn of a placement later than its pool. The broker need not write both at
once while a producer waits, and one message reports many placements. Inputs stay unacknowledged until
then."""


class LedgerNotifier:
    """Collects the leases of placed groups and sends them in one message.

    It owns a reference to each delivery of these groups until the message is sent.

    Args:
        effects: receives the message.
        grace_s: seconds after its deadline in which a late outcome may still come.
    """

    def __init__(self, effects: PendingEffects, *, grace_s: float) -> None:
        self._effects = effects
        self._grace_s = grace_s
        self._leases: list[Lease] = []
        self._owned = effects.growing()
        self._since = 0.0

    def add(self, group: Group, task_id: str, now: float) -> None:
        """Take over a group whose placement message is sent."""
        if not self._leases:
            self._since = now
        self._leases += leases(group, task_id, grace=self._grace_s)
        self._owned.absorb(group.owned)

    def due_in(self, now: float) -> float | None:
        """Return seconds until the leases are to be sent; None where there are none."""
        if not self._leases:
            return None
        waited = now - self._since
        # A negative wait means that the clock was set back.
        return LEASE_FLUSH_DELAY_S - waited if 0 <= waited < LEASE_FLUSH_DELAY_S else 0.0

    def flush(self) -> None:
        """Send all leases in one message."""
        if not self._leases:
            return
        placed, self._leases = self._leases, []
        with self._owned as owned:
            self._effects.send(lease_batch(placed), *owned.deliveries)
