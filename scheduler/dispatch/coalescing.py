"""Joining what has already arrived: requests of one model for one backend travel in one placement message."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from scheduler.effects import Delivery
from straightline.contracts import Request, Ticket


@dataclass(slots=True)
class Group:
    """Placed tickets of one model and version for one backend, their requests, and where they came from."""

    model: str
    backend: str
    tickets: list[Ticket] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    causes: list[Delivery] = field(default_factory=list)
    size: int = 0


class Coalescer:
    """Groups that fill until they are flushed; nothing waits: the caller flushes in every turn."""

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._open: dict[Hashable, Group] = {}
        self._full: list[Group] = []

    def add(
        self,
        model: str,
        backend: str,
        ticket: Ticket,
        request: Request,
        cause: Delivery,
        *,
        lane: Hashable,
        batchable: bool,
    ) -> None:
        """Add a placed ticket to the group of its kind; alone if not batchable.

        Those of a kind share model, version, backend and lane (that of batch work; None is interactive). They
        are as large as their data, or as their messages where more stands in these.
        """
        size = max(ticket.r_d, len(memoryview(ticket.request)))
        if not batchable:
            self._full.append(Group(model, backend, [ticket], [request], [cause], size))
            return
        key = (model, ticket.version, backend, lane)
        group = self._open.get(key)
        if group is not None and group.size + size > self._most_bytes:
            self._full.append(self._open.pop(key))
            group = None
        if group is None:
            group = self._open[key] = Group(model, backend)
        group.tickets.append(ticket)
        group.requests.append(request)
        group.causes.append(cause)
        group.size += size
        if len(group.tickets) >= self._most:
            self._full.append(self._open.pop(key))

    def flush(self) -> list[Group]:
        """Return all groups, full or not, and start anew."""
        groups = [*self._full, *self._open.values()]
        self._full = []
        self._open = {}
        return groups
