"""Work that must not block a connection's thread: store access and callbacks."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

_END: Final = None


class BackgroundWorker:
    """Runs tasks one after another on a thread that starts with the first task.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._due: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, task: Callable[[], object]) -> bool:
        """Queue a task, whose exceptions are logged; return False once the worker is closed."""
        with self._lock:
            if self._closed:
                return False
            if self._thread is None:
                # A daemon: a store that hangs must not keep the process from ending.
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._due.put(task)
        return True

    def close(self, timeout: float) -> None:
        """Finish the queued tasks, within `timeout` seconds, and end the thread."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._due.put(_END)
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, timeout))

    def _work(self) -> None:
        while (task := self._due.get()) is not _END:
            try:
                task()
            except Exception:
                logger.exception("background_task_failed")
