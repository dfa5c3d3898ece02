"""Results that have arrived and were not asked for yet, within bounds, and who waits for others."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from queue import Empty, SimpleQueue

logger = logging.getLogger(__name__)

OnBody = Callable[[bytes | None], None]
"""Called once with a body, or with None when none will come any more; it must not block."""


class ResultBuffer:
    """Bodies by request id. Thread-safe.

    Over a bound the oldest goes, those that were read already before those that were not. What somebody waits
    for goes to them, whatever the bounds.

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
        self._waiting: dict[str, list[OnBody]] = {}
        self._closed = False
        self._lock = threading.Lock()
        self.dropped = 0
        """How many unread ones had to go."""

    def __len__(self) -> int:
        return len(self._unread) + len(self._read)

    def put(self, key: str, body: bytes) -> None:
        """Keep a body, and give it to who waits for it; one of the same key is replaced."""
        with self._lock:
            self._forget(key)
            waiting = self._waiting.pop(key, None)
            (self._unread if waiting is None else self._read)[key] = body
            self._bytes += len(body)
            while len(self) > self._limit or (self._bytes > self._limit_bytes and len(self) > 1):
                self._drop_one()
        for call in waiting or ():
            call(body)

    def forget(self, key: str) -> None:
        """Keep the body of `key` no longer: another one is to come."""
        with self._lock:
            self._forget(key)

    def ask(self, key: str, call: OnBody) -> bytes | None:
        """Return the body of `key` where it is there; else have `call` called when it comes."""
        with self._lock:
            body = self._look(key)
            if body is not None:
                return body
            if not self._closed:
                self._waiting.setdefault(key, []).append(call)
                return None
        call(None)
        return None

    def give_up(self, key: str, call: OnBody) -> None:
        """Have `call` not called any more."""
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting is not None and call in waiting:
                waiting.remove(call)
                if not waiting:
                    del self._waiting[key]

    def look(self, key: str) -> bytes | None:
        """Return the body of `key` where it is there, or None."""
        with self._lock:
            return self._look(key)

    def wait(self, key: str, timeout: float) -> bytes | None:
        """Return the body of `key` as soon as it is there; None after `timeout` seconds, or when closed."""
        if timeout <= 0:
            return self.look(key)
        box: SimpleQueue[bytes | None] = SimpleQueue()
        call = box.put
        body = self.ask(key, call)
        if body is not None:
            return body
        try:
            return box.get(timeout=min(timeout, threading.TIMEOUT_MAX))
        except Empty:
            return None
        finally:
            self.give_up(key, call)

    def close(self) -> None:
        """Tell all who wait that nothing comes any more."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, {}
        for calls in waiting.values():
            for call in calls:
                call(None)

    def _look(self, key: str) -> bytes | None:
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
