"""Which ids were seen lately, so that a repeated one gets its first outcome instead of another run."""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class Seen:
    """What is remembered of an id: a digest of its content, and whether it has ended."""

    digest: str
    ended: bool = False


class Repeats:
    """The ids of the last `size` requests; for older ones the ledger's key keeps their outcome one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def find(self, request_id: str) -> Seen | None:
        """Return what is remembered of an id."""
        return self._seen.get(request_id)

    def ended(self, request_id: str) -> bool:
        """Whether the request is known to have its outcome."""
        seen = self._seen.get(request_id)
        return seen is not None and seen.ended

    def remember(self, request_id: str, digest: str) -> None:
        """Note an id."""
        if request_id not in self._seen:
            self._seen[request_id] = Seen(digest)
            if len(self._seen) > self._size:
                self._seen.popitem(last=False)

    def end(self, request_id: str) -> None:
        """Note that the request has its outcome."""
        seen = self._seen.get(request_id)
        if seen is not None:
            seen.ended = True

    def forget(self, request_id: str) -> None:
        """Know nothing of an id any more: its message will be delivered again and begins anew."""
        self._seen.pop(request_id, None)
