"""Inputs that a producer stored for its requests, and removes when these have ended."""

import logging
from typing import Final

import msgspec

from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import DataRef
from straightline.errors import ContractError, StoreUnavailable
from straightline.producer.background import BackgroundWorker
from straightline.storage.store import Store
from straightline.support.bounded_dict import BoundedDict

logger = logging.getLogger(__name__)

MAX_REMEMBERED: Final = 100_000
"""Requests; what a producer with more of them forgets is left to `straightline sweep`."""


class _Ending(msgspec.Struct):
    state: str
    error_class: str | None = None


class StoredInputs:
    """Which inputs lie in the store; those of a request that has ended are removed. Thread-safe.

    Args:
        store: where they lie.
        errands: removes them.
        keep: leave them to the sweep.
    """

    def __init__(self, store: Store | None, errands: BackgroundWorker, *, keep: bool) -> None:
        self._store = store
        self._errands = errands
        self._keep = keep or store is None
        self._stored: BoundedDict[str, DataRef] = BoundedDict(MAX_REMEMBERED)

    def stored(self, request_id: str, reference: DataRef) -> None:
        """Note where a request's input lies."""
        if self._keep:
            return
        self._stored[request_id] = reference

    def ended(self, request_id: str, outcome: bytes) -> None:
        """Have the input of a request removed, whose outcome has come."""
        if request_id not in self._stored or _is_another(outcome):
            return
        reference = self._stored.pop(request_id, None)
        if reference is not None:
            self._errands.run(lambda: self._remove(reference))

    def _remove(self, reference: DataRef) -> None:
        if self._store is None:
            return
        try:
            self._store.remove(reference)
        except (StoreUnavailable, ContractError) as error:
            logger.warning("an input stays in the store until it is swept: %s", error)


def _is_another(outcome: bytes) -> bool:
    """Tell the refusal of a second request under the same id: the first one may still need its input."""
    try:
        ending = decode(outcome, _Ending)
    except ContractError:
        return True
    return ending.state == "rejected" and ending.error_class == "conflict"
