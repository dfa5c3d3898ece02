"""Inputs that a producer has stored for its requests, removed when these end."""

from typing import Final

import msgspec

from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import DataRef
from straightline.errors import ContractError, StoreUnavailable
from straightline.producer.background import BackgroundWorker
from straightline.storage.store import Store
from straightline.support.bounded_dict import BoundedDict
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

MAX_REMEMBERED: Final = 100_000
"""Requests; `straightline sweep` removes the inputs of older ones."""


class _Ending(msgspec.Struct):
    state: str
    error_class: str | None = None


class StoredInputs:
    """The inputs of unfinished requests, by request id. Thread-safe.

    Args:
        store: contains the inputs.
        worker: removes them.
        keep: whether inputs are left to the sweep.
    """

    def __init__(self, store: Store | None, worker: BackgroundWorker, *, keep: bool) -> None:
        self._store = store
        self._worker = worker
        self._keep = keep or store is None
        self._stored: BoundedDict[str, DataRef] = BoundedDict(MAX_REMEMBERED)

    def stored(self, request_id: str, reference: DataRef) -> None:
        """Record the input of a request."""
        if not self._keep:
            self._stored[request_id] = reference

    def ended(self, request_id: str, outcome: bytes) -> None:
        """Remove the input of a request whose outcome has arrived."""
        if request_id not in self._stored or _is_conflict(outcome):
            return
        reference = self._stored.pop(request_id, None)  # another thread may have removed it since
        if reference is not None:
            self._worker.run(lambda: self._remove(reference))

    def _remove(self, reference: DataRef) -> None:
        if self._store is None:
            return
        try:
            self._store.remove(reference)
        except (StoreUnavailable, ContractError) as error:
            logger.warning("stored_input_not_removed", error=error)


def _is_conflict(outcome: bytes) -> bool:
    """Return whether an outcome rejects a second request with this id: the first may still need its input."""
    try:
        ending = decode(outcome, _Ending)
    except ContractError:
        return True
    return ending.state == "rejected" and ending.error_class == "conflict"
