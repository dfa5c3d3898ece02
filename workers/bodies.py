"""Inputs and results that are too large to travel: where they lie, and how they get there."""

from typing import Protocol

import msgspec

from straightline.contracts import DataRef, Request
from straightline.contracts.outcome import NO_RESULT
from straightline.contracts.request import INLINE_LIMIT
from straightline.errors import StraightLineError


class BadReference(StraightLineError):  # noqa: N818 - the reference is bad, whoever made it
    """A request's `data_ref` can never be read: it leads outside of the store, or to other bytes."""


class BodyStore(Protocol):
    """Where large bodies lie; raises `BadReference` or `BackendFault`."""

    def get(self, reference: DataRef) -> bytes:
        """Read the bytes, whose size and hash are checked."""
        ...

    def put(self, name: str, data: bytes) -> DataRef:
        """Write the bytes under a name of their own."""
        ...


class Bodies:
    """Brings inputs and takes results away.

    Args:
        store: None where there is none; then references cannot be read, and every result travels.
    """

    def __init__(self, store: BodyStore | None) -> None:
        self._store = store

    def fetch(self, request: Request) -> bytes:
        """Return a request's V2 infer request as JSON.

        Raises:
            BadReference: it can never be read.
            BackendFault: it cannot be read now.
        """
        if request.data_ref is None:
            return bytes(request.data)
        if self._store is None:
            raise BadReference("the data lies in a store, and this pool has none: set STRAIGHTLINE_STORE")
        return self._store.get(request.data_ref)

    def place(self, request_id: str, result: msgspec.Raw) -> tuple[msgspec.Raw, DataRef | None]:
        """Return the result, or where it lies when it is too large to travel.

        Raises:
            BackendFault: it cannot be stored now.
        """
        if self._store is None or len(memoryview(result)) <= INLINE_LIMIT:
            return result, None
        return NO_RESULT, self._store.put(request_id, bytes(result))
