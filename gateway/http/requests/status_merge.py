"""What is told of a request under way: what the ledger has of it, and what scheduler and pools say. Pure."""

from typing import Final

import msgspec

from straightline.contracts import RequestStatus, StatusReply

_RANK: Final = {None: 0, "accepted": 1, "placed": 2, "held": 2, "running": 3}
_KNOWN: Final = tuple(
    field.name
    for field in msgspec.structs.fields(StatusReply)
    if field.name not in {"id", "state", "failed", "reason"}
)


def further(heard: StatusReply | None, answer: StatusReply) -> StatusReply:
    """Return which of two answers is of the more advanced state; of two alike the first."""
    return answer if heard is None or _RANK[answer.state] > _RANK[heard.state] else heard


def final(heard: StatusReply) -> bool:
    """Whether no other answer can be more advanced: what is held is in no pool."""
    return heard.state in {"held", "running"}


def told(status: RequestStatus | None, heard: StatusReply | None) -> RequestStatus | None:
    """Return what is told of a request.

    Args:
        status: what the ledger, or this process, knows of it; None where they know nothing.
        heard: what was answered; None where nobody did.
    """
    if heard is None or heard.state is None:
        return status
    if status is None:
        status = RequestStatus(id=heard.id, state="accepted")
    # Of what was placed once, it is the ledger that knows where.
    state = status.state if heard.state == "accepted" else heard.state
    changes = {name: value for name in _KNOWN if (value := getattr(heard, name))}
    return msgspec.structs.replace(status, state=state, **changes)
