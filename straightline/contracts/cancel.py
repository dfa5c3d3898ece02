"""Cancellation of requests."""

from typing import Annotated, Literal

import msgspec

CancelResult = Literal["cancelled", "noted", "ended", "unknown"]


class Cancel(msgspec.Struct, kw_only=True):
    """A cancellation; `id` is the request's id.

    The scheduler appends it unchanged to the stream of cancelled ids.
    """

    id: Annotated[str, msgspec.Meta(max_length=64)]


class CancelAnswer(msgspec.Struct, kw_only=True):
    """The scheduler's answer to a cancellation with a `reply_to`.

    Attributes:
        id: the request's id.
        verdict: `cancelled`: the request has ended so. `noted`: it is in progress and will be cancelled
            unless a result arrives first. `ended`: it had already ended. `unknown`: the scheduler does not
            know it; it will be cancelled if it arrives, or waits in a pool.
    """

    id: str
    verdict: CancelResult
