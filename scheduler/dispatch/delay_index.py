"""Index of the requests that this scheduler sent to the broker's delay queues."""

from typing import Final, NamedTuple

import msgspec

from straightline.contracts import Request, Ticket
from straightline.contracts.request import NO_DATA
from straightline.support.bounded_dict import BoundedDict

MAX_DELAYED_REQUESTS: Final = 4_096
"""Bound on the index; it keeps no data of the requests."""


class DelayedRequest(NamedTuple):
    """A request and its ticket, without the data."""

    request: Request
    ticket: Ticket


class DelayIndex:
    """Keeps the newest `size` requests by id. An older one is met when it comes back."""

    def __init__(self, size: int = MAX_DELAYED_REQUESTS) -> None:
        self._waiting: BoundedDict[str, DelayedRequest] = BoundedDict(size)

    def add(self, request: Request, ticket: Ticket) -> None:
        """Add a request that is sent to a delay queue."""
        replace = msgspec.structs.replace
        self._waiting[request.id] = DelayedRequest(
            replace(request, data=NO_DATA), replace(ticket, request=NO_DATA)
        )

    def take(self, request_id: str) -> DelayedRequest | None:
        """Remove and return the request with an id; None where it is not known."""
        return self._waiting.pop(request_id, None)

    def find(self, request_id: str) -> DelayedRequest | None:
        """Return the request with an id; None where it is not known."""
        return self._waiting.get(request_id)

    def clear(self) -> None:
        """Forget all requests: another scheduler may have taken them since."""
        self._waiting.clear()
