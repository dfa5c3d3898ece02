"""Results that have arrived and were not asked for yet, within bounds."""

import logging
import threading
from collections import OrderedDict

logger = logging.getLogger(__name__)


class Results:
    """Bodies by request id. Thread-safe.

    Over a bound the oldest goes, those that were read already before those that were not.

    Args:
        limit: how many are kept at most.
        limit_bytes: bytes kept at most.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._unread: OrderedDict[str, bytes] = OrderedDict()
        self._read: OrderedDict[str, bytes] = OrderedDict()
        self._changed = threading.Condition()
        self._waiting = 0
        self.dropped = 0
        """How many unread ones had to go."""

    def __len__(self) -> int:
        return len(self._unread) + len(self._read)

    def put(self, key: str, body: bytes) -> None:
        """Keep a body; one of the same key is replaced."""
        with self._changed:
            self._forget(key)
            self._unread[key] = body
            self._bytes += len(body)
            while len(self) > self._limit or (self._bytes > self._limit_bytes and len(self) > 1):
                self._drop_one()
            if self._waiting:
                self._changed.notify_all()

    def wait(self, key: str, timeout: float) -> bytes | None:
        """Return the body of `key` as soon as it is there; None after `timeout` seconds."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: key in self._unread or key in self._read, timeout)
            finally:
                self._waiting -= 1
            body = self._unread.pop(key, None)
            if body is None:
                return self._read.get(key)
            self._read[key] = body
            return body

    def _forget(self, key: str) -> None:
        for kept in (self._unread, self._read):
            body = kept.pop(key, None)
            if body is not None:
                self._bytes -= len(body)

    def _drop_one(self) -> None:
        if self._read:
            self._bytes -= len(self._read.popitem(last=False)[1])
            return
        self._bytes -= len(self._unread.popitem(last=False)[1])
        if self.dropped == 0:
            logger.warning("results come faster than they are read: the oldest are dropped from now on")
        self.dropped += 1
