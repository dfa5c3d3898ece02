"""Which requests of a placement are asked in one call. Pure."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from straightline.contracts import InferRequest, ModelSpec
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from workers.execution.merging import signature
from workers.execution.placements import Work


class PreparedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request with the input it brings.

    Attributes:
        work: the request.
        body: its V2 infer request as JSON.
    """

    work: Work
    body: bytes


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Requests for one call; `requests` holds their V2 infer requests where there are several."""

    asks: list[PreparedRequest]
    requests: list[InferRequest]

    def without(self, gone: Collection[str]) -> "Group":
        """Return the group without the requests of these ids."""
        kept = [index for index, ask in enumerate(self.asks) if ask.work.request.id not in gone]
        requests = [self.requests[index] for index in kept] if self.requests and len(kept) > 1 else []
        return Group(asks=[self.asks[index] for index in kept], requests=requests)


def group_requests(asks: Iterable[PreparedRequest], model: ModelSpec, limit: int | None) -> Iterator[Group]:
    """Split requests of one model into the fewest calls that are safe.

    Args:
        asks: the requests.
        model: theirs; one that is not batchable is asked for each request alone.
        limit: the largest call in bytes; None without limit.
    """
    together: dict[Any, list[tuple[PreparedRequest, InferRequest]]] = {}
    waiting = list(asks)
    alone = not model.batchable or len(waiting) == 1
    for ask in waiting:
        key, request = (None, None) if alone else _read(ask.body)
        if key is None or request is None:
            yield Group(asks=[ask], requests=[])
        else:
            together.setdefault(key, []).append((ask, request))
    for members in together.values():
        yield from _fit(members, limit)


def _read(body: bytes) -> tuple[Any, InferRequest | None]:
    try:
        request = decode(body, InferRequest)
    except ContractError:
        return None, None  # the model says what is wrong with it
    return signature(request), request


def _fit(members: list[tuple[PreparedRequest, InferRequest]], limit: int | None) -> Iterator[Group]:
    taken: list[tuple[PreparedRequest, InferRequest]] = []
    size = 0
    for member in members:
        length = len(member[0].body)
        if taken and limit is not None and size + length > limit:
            yield _group(taken)
            taken, size = [], 0
        taken.append(member)
        size += length
    yield _group(taken)


def _group(members: list[tuple[PreparedRequest, InferRequest]]) -> Group:
    requests = [request for _, request in members] if len(members) > 1 else []
    return Group(asks=[ask for ask, _ in members], requests=requests)
