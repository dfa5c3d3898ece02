"""The body of a placement: the arguments of a Celery task, protocol 2."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec

from straightline.contracts.parsing.decoding import decode
from straightline.contracts.ticket import Ticket

_EMBED: Final = b', {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
_encode = msgspec.json.Encoder().encode


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """`[args, kwargs, embed]`: one positional argument, no keyword, callback, chain or chord."""

    args: tuple[Annotated[list[Ticket], msgspec.Meta(min_length=1)]]
    kwargs: Annotated[dict[str, Any], msgspec.Meta(max_length=0)]
    embed: dict[str, None] | None


def encode_placement(tickets: Sequence[Ticket]) -> bytes:
    """Encode the tickets of one placement, 1..n."""
    return b"[[" + _encode(tickets) + b"]" + _EMBED


def decode_placement(body: bytes | str) -> list[Ticket]:
    """Decode the tickets of a placement.

    Raises:
        ContractError: the body is not one that `encode_placement` writes.
    """
    return decode(body, _Body).args[0]
