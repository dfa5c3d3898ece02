"""Taking a request back."""

from typing import Annotated, Literal

import msgspec

CancelResult = Literal["cancelled", "noted", "ended", "unknown"]


class Cancel(msgspec.Struct, kw_only=True):
    """The wish that a request be not answered any more; `id` is the request's.

    The scheduler appends it as it is to the stream of cancelled ids.
    """

    id: Annotated[str, msgspec.Meta(max_length=64)]


class CancelAnswer(msgspec.Struct, kw_only=True):
    """What the scheduler answers to whoever asked with a `reply_to`.

    Attributes:
        id: of the request.
        verdict: `cancelled`: it has ended so. `noted`: it is on its way, and ends so where it is met before
            it has an answer. `ended`: it had its outcome, which stands. `unknown`: no such request is known
            here; should it come, or be met in a pool, it ends cancelled.
    """

    id: str
    verdict: CancelResult
