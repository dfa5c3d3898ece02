"""Results that have arrived, within bounds, and the callers waiting for others."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from queue import Empty, SimpleQueue

from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

OnBody = Callable[[bytes | None], None]
"""Called once with a body, or with None when no result can arrive any more; it must not block."""


class ResultBuffer:
    """Result bodies by request id. Thread-safe.

    Over a bound the oldest body is dropped, those already read first. Waiting callers receive their body
    whatever the bounds.

    Args:
        limit: bodies kept at most.
        limit_bytes: bytes kept at most.

    Attributes:
        dropped: number of unread bodies dropped.
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

    def __len__(self) -> int:
        return len(self._unread) + len(self._read)

    def put(self, key: str, body: bytes) -> None:
        """Keep a body, in place of an earlier one of the same key, and pass it to waiting callers."""
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
        """Drop the body of `key`: another one is expected."""
        with self._lock:
            self._forget(key)

    def ask(self, key: str, call: OnBody) -> bytes | None:
        """Return the body of `key`, or call `call` when it arrives."""
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
        """Withdraw a `call` of `ask`."""
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting is not None and call in waiting:
                waiting.remove(call)
                if not waiting:
                    del self._waiting[key]

    def look(self, key: str) -> bytes | None:
        """Return the body of `key`, or None; never waits."""
        with self._lock:
            return self._look(key)

    def wait(self, key: str, timeout: float) -> bytes | None:
        """Return the body of `key` as soon as it arrives; None after `timeout` seconds, or when closed."""
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
        """Call all waiting callers with None."""
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
            logger.warning("results_dropped")
        self.dropped += 1
