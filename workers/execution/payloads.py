"""Inputs and results that are too large to travel in messages, in an object store."""

from typing import Final, Protocol

import msgspec

from straightline.contracts import DataRef, Request
from straightline.contracts.outcome import NO_RESULT
from straightline.contracts.request import MAX_BODY_BYTES, MAX_INLINE_BYTES
from straightline.errors import StoreUnavailable
from workers.protocol.errors import BackendFault, ModelError

MAX_INLINE_RESULT_BYTES: Final = MAX_BODY_BYTES - 1024 * 1024
"""Largest result that is sent inline if there is no store; the rest of the body is for the history."""


class BodyStore(Protocol):
    """The object store: `straightline.storage.store.Store`."""

    def get(self, ref: DataRef) -> bytes:
        """Read the bytes; raises `ContractError` or `StoreUnavailable`."""
        ...

    def put(self, data: bytes) -> DataRef:
        """Write the bytes; raises `StoreUnavailable`."""
        ...


class PayloadStore:
    """Loads inputs and stores results.

    Args:
        store: the object store; without one, references cannot be read and all results are sent inline.
    """

    def __init__(self, store: BodyStore | None) -> None:
        self._store = store

    def load(self, request: Request) -> bytes:
        """Return a request's V2 infer request as JSON.

        Raises:
            ContractError: its reference can never be read.
            BackendFault: store_unavailable; it cannot be read now.
        """
        if request.data_ref is None:
            return bytes(request.data)
        if self._store is None:
            raise BackendFault(
                "cannot read the data reference: this pool has no store. set STRAIGHTLINE_STORE",
                error_class="store_unavailable",
            )
        try:
            return self._store.get(request.data_ref)
        except StoreUnavailable as error:
            raise BackendFault(str(error), error_class="store_unavailable") from error

    def store_if_large(self, result: msgspec.Raw) -> tuple[msgspec.Raw, DataRef | None]:
        """Return the result inline, or its reference if it is larger than the inline limit.

        Raises:
            BackendFault: store_unavailable; it cannot be stored now.
            ModelError: it is too large to send, and there is no store.
        """
        size = len(memoryview(result))
        if size <= MAX_INLINE_BYTES:
            return result, None
        if self._store is None:
            if size > MAX_INLINE_RESULT_BYTES:
                raise ModelError(
                    f"cannot send a result of {size} bytes: the limit without a store is "
                    f"{MAX_INLINE_RESULT_BYTES}. set STRAIGHTLINE_STORE"
                )
            return result, None
        try:
            return NO_RESULT, self._store.put(bytes(result))
        except StoreUnavailable as error:
            raise BackendFault(str(error), error_class="store_unavailable") from error
