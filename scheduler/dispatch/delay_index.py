"""What waits in the broker's delay queues, as far as this scheduler sent it there and remembers. No clock."""

from typing import Final, NamedTuple

import msgspec

from straightline.contracts import Request, Ticket
from straightline.contracts.request import NO_DATA
from straightline.support.bounded_dict import BoundedDict

MAX_DELAYED_REQUESTS: Final = 4_096
"""Requests that are remembered, without their data."""


class DelayedRequest(NamedTuple):
    """A request and its ticket, without the data."""

    request: Request
    ticket: Ticket


class DelayIndex:
    """A bounded memory, by id: over `size` the oldest are forgotten, and are met when they come back."""

    def __init__(self, size: int = MAX_DELAYED_REQUESTS) -> None:
        self._waiting: BoundedDict[str, DelayedRequest] = BoundedDict(size)

    def add(self, request: Request, ticket: Ticket) -> None:
        """Note what is sent to a delay queue."""
        replace = msgspec.structs.replace
        self._waiting[request.id] = DelayedRequest(
            replace(request, data=NO_DATA), replace(ticket, request=NO_DATA)
        )

    def take(self, request_id: str) -> DelayedRequest | None:
        """Return and forget what waits of an id; None where nothing is known of it."""
        return self._waiting.pop(request_id, None)

    def find(self, request_id: str) -> DelayedRequest | None:
        """Return what waits of an id; None where nothing is known of it."""
        return self._waiting.get(request_id)

    def clear(self) -> None:
        """Forget all: another scheduler may have met them since."""
        self._waiting.clear()
