"""Grouping: which requests of a placement share a backend call."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from straightline.contracts import InferRequest, ModelSpec
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from workers.domain.merging import signature
from workers.domain.placements import Work


class PreparedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request with its input at hand.

    Attributes:
        work: the request.
        body: its V2 infer request as JSON.
    """

    work: Work
    body: bytes


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one call.

    Attributes:
        members: the requests.
        inputs: their decoded V2 infer requests, in the same order; empty for a single request.
    """

    members: list[PreparedRequest]
    inputs: list[InferRequest]

    def without(self, request_ids: Collection[str]) -> "Group":
        """Return the group without the requests of these ids."""
        kept = [
            index for index, member in enumerate(self.members) if member.work.request.id not in request_ids
        ]
        inputs = [self.inputs[index] for index in kept] if self.inputs and len(kept) > 1 else []
        return Group(members=[self.members[index] for index in kept], inputs=inputs)


def group_requests(
    prepared: Iterable[PreparedRequest], model: ModelSpec, max_bytes: int | None
) -> Iterator[Group]:
    """Split requests of one model into the fewest calls that are safe.

    Args:
        prepared: the requests.
        model: their model; if it is not batchable, each request gets its own call.
        max_bytes: size of the largest call; None without limit.
    """
    by_signature: dict[Any, list[tuple[PreparedRequest, InferRequest]]] = {}
    waiting = list(prepared)
    alone = not model.batchable or len(waiting) == 1
    for each in waiting:
        key, request = (None, None) if alone else _decode(each.body)
        if key is None or request is None:
            yield Group(members=[each], inputs=[])
        else:
            by_signature.setdefault(key, []).append((each, request))
    for members in by_signature.values():
        yield from _split_by_size(members, max_bytes)


def _decode(body: bytes) -> tuple[Any, InferRequest | None]:
    try:
        request = decode(body, InferRequest)
    except ContractError:
        return None, None  # the model server reports what is wrong with it
    return signature(request), request


def _split_by_size(
    members: list[tuple[PreparedRequest, InferRequest]], max_bytes: int | None
) -> Iterator[Group]:
    taken: list[tuple[PreparedRequest, InferRequest]] = []
    size = 0
    for member in members:
        length = len(member[0].body)
        if taken and max_bytes is not None and size + length > max_bytes:
            yield _group(taken)
            taken, size = [], 0
        taken.append(member)
        size += length
    yield _group(taken)


def _group(members: list[tuple[PreparedRequest, InferRequest]]) -> Group:
    inputs = [request for _, request in members] if len(members) > 1 else []
    return Group(members=[member for member, _ in members], inputs=inputs)
