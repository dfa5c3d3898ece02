"""Joins placed requests of one model for one backend, so that they travel in one message."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from scheduler.effects import GrowingOwnership, PendingEffects
from scheduler.lifecycle import PendingRequest
from straightline.contracts import Request, Ticket
from straightline.names import Backend


@dataclass(slots=True)
class Group:
    """Placed tickets of one model and version for one backend.

    Attributes:
        model, backend: of all tickets.
        owned: references to the deliveries that the requests came in.
        tickets, requests: in parallel.
        size: bytes of the requests.
    """

    model: str
    backend: Backend
    owned: GrowingOwnership
    tickets: list[Ticket] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    size: int = 0


class Coalescer:
    """Fills groups until `flush`. It never waits for more requests: the caller flushes in every turn.

    Args:
        effects: counts the references to deliveries.
        max_requests: of one group.
        max_bytes: of one group, unless a single request is larger.
    """

    def __init__(self, effects: PendingEffects, *, max_requests: int, max_bytes: int) -> None:
        self._effects = effects
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._open: dict[Hashable, Group] = {}
        self._full: list[Group] = []

    def add(self, pending: PendingRequest, backend: Backend, *, slot: Hashable, batchable: bool) -> None:
        """Add a placed request to its group, or to one of its own if it is not batchable.

        A group shares model, version, backend and batch slot; `slot` is None for interactive requests. The
        size of a request is that of its data, or of its message where that is larger.
        """
        ticket, model = pending.ticket, pending.spec.name
        size = max(ticket.r_d, len(memoryview(ticket.request)))
        # A request that must travel alone has a key of its own, which no other one joins.
        key = (model, ticket.version, backend, slot) if batchable else (pending.request.id,)
        group = self._open.get(key)
        if group is not None and group.size + size > self._max_bytes:
            self._full.append(self._open.pop(key))
            group = None
        if group is None:
            group = self._open[key] = Group(model, backend, self._effects.growing())
        group.owned.add(pending.delivery)
        group.tickets.append(ticket)
        group.requests.append(pending.request)
        group.size += size
        if not batchable or len(group.tickets) >= self._max_requests:
            self._full.append(self._open.pop(key))

    def flush(self) -> list[Group]:
        """Return all groups, full or not, and start anew."""
        groups = [*self._full, *self._open.values()]
        self._full = []
        self._open = {}
        return groups
