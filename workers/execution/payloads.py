"""Inputs and results that are too large to travel: where they lie, and how they get there."""

from typing import Protocol

import msgspec

from straightline.contracts import DataRef, Request
from straightline.contracts.outcome import NO_RESULT
from straightline.contracts.request import MAX_BODY_BYTES, MAX_INLINE_BYTES
from straightline.errors import StoreUnavailable
from workers.protocol.errors import BackendFault, ModelError

MAX_RESULT = MAX_BODY_BYTES - 1024 * 1024
"""Largest result in bytes that travels, where there is no store: an outcome holds its history besides."""


class BodyStore(Protocol):
    """Where large bodies lie: `straightline.storage.store.Store`."""

    def get(self, ref: DataRef) -> bytes:
        """Read the bytes; raises `ContractError` or `StoreUnavailable`."""
        ...

    def put(self, data: bytes) -> DataRef:
        """Write the bytes; raises `StoreUnavailable`."""
        ...


class PayloadStore:
    """Brings inputs and takes results away.

    Args:
        store: None where there is none; then references cannot be read, and every result travels.
    """

    def __init__(self, store: BodyStore | None) -> None:
        self._store = store

    def fetch(self, request: Request) -> bytes:
        """Return a request's V2 infer request as JSON.

        Raises:
            ContractError: its reference can never be read.
            BackendFault: it cannot be read now.
        """
        if request.data_ref is None:
            return bytes(request.data)
        if self._store is None:
            raise BackendFault(
                "the data lies in a store, and this pool has none: set STRAIGHTLINE_STORE for it",
                error_class="store_unavailable",
            )
        try:
            return self._store.get(request.data_ref)
        except StoreUnavailable as error:
            raise BackendFault(str(error), error_class="store_unavailable") from error

    def place(self, result: msgspec.Raw) -> tuple[msgspec.Raw, DataRef | None]:
        """Return the result, or where it lies when it is too large to travel.

        Raises:
            BackendFault: it cannot be stored now.
            ModelError: it is too large to travel, and there is no store.
        """
        size = len(memoryview(result))
        if size <= MAX_INLINE_BYTES:
            return result, None
        if self._store is None:
            if size > MAX_RESULT:
                raise ModelError(f"the result is {size} bytes, too large to travel: set STRAIGHTLINE_STORE")
            return result, None
        try:
            return NO_RESULT, self._store.put(bytes(result))
        except StoreUnavailable as error:
            raise BackendFault(str(error), error_class="store_unavailable") from error
