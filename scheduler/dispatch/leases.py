"""Leases of placed requests: an expired one without an outcome tells the ledger that requests are lost."""

from collections.abc import Iterable
from typing import Final

from scheduler.dispatch.coalescing import Group
from straightline.contracts import Lease, Request, Ticket
from straightline.contracts.lease import ReplyGroup

MAX_DEADLINE_SPREAD_S: Final = 10.0
"""Largest spread of the deadlines in one lease. A group may hold interactive and batch requests, whose
deadlines are a day apart. A lease for each request would cost the ledger a row for each."""

Kind = tuple[str, str | None, int, int]


def leases(group: Group, task_id: str, *, grace: float) -> list[Lease]:
    """Return the leases of a group, one for each kind of request in it; nearly always a single one.

    Args:
        group: placed tickets.
        task_id: id of the task that carries the group.
        grace: seconds after a deadline in which a late outcome may still come.
    """
    kinds: dict[Kind, list[tuple[Request, Ticket]]] = {}
    for request, ticket in zip(group.requests, group.tickets, strict=True):
        kind = (
            request.class_,
            request.batch_id,
            len(ticket.attempts) + 1,
            int(ticket.deadline // MAX_DEADLINE_SPREAD_S),
        )
        kinds.setdefault(kind, []).append((request, ticket))
    return [
        Lease(
            task_id=task_id,
            part=part,
            ids=[request.id for request, _ in members],
            backend=group.backend,
            model=group.model,
            version=members[0][1].version,
            class_=members[0][0].class_,
            batch_id=members[0][0].batch_id,
            attempt=len(members[0][1].attempts) + 1,
            placed_at=members[0][1].placed_at or 0.0,
            until=max(ticket.deadline for _, ticket in members) + grace,
            awaited=_awaited(members),
        )
        for part, members in enumerate(kinds.values())
    ]


def _awaited(members: Iterable[tuple[Request, Ticket]]) -> list[ReplyGroup]:
    addresses: dict[str, list[tuple[int, str, bool]]] = {}
    for position, (request, ticket) in enumerate(members):
        reply = ticket.reply
        if reply is not None:
            own = reply.correlation_id == request.id
            addresses.setdefault(reply.to, []).append((position, reply.correlation_id, own))
    return [
        ReplyGroup(
            to=to,
            positions=[position for position, _, _ in asked],
            correlation_ids=[] if all(own for *_, own in asked) else [name for _, name, _ in asked],
        )
        for to, asked in addresses.items()
    ]
