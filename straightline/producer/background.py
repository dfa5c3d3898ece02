"""Work that must not hold up a connection's thread: stores to read and to clear, functions of the user."""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

logger = logging.getLogger(__name__)

_END: Final = None


class BackgroundWorker:
    """Does one thing after another on a thread of its own, which starts with the first of them.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._due: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, errand: Callable[[], object]) -> bool:
        """Have it done soon; what it raises is logged. Returns False where it is too late for that."""
        with self._lock:
            if self._closed:
                return False
            if self._thread is None:
                # A daemon: a store that hangs must not keep the process from ending.
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._due.put(errand)
        return True

    def close(self, timeout: float) -> None:
        """Do what is due, `timeout` seconds at most, and end the thread."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._due.put(_END)
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, timeout))

    def _work(self) -> None:
        while (errand := self._due.get()) is not _END:
            try:
                errand()
            except Exception:
                logger.exception("what was to be done with a result failed")
