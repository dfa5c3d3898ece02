"""A scheduler that leads and knows no request: it only says that it leads."""

import threading
import time
from types import TracebackType
from typing import Final, Self

import msgspec
import pika

from straightline import names
from straightline.contracts import StatusEvent, StatusEvents

STOP_TIMEOUT_S: Final = 60.0
INTERVAL_S: Final = 0.5


class IdleLeader:
    """Writes to the status stream as the leading scheduler does."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(STOP_TIMEOUT_S)
        assert not self._thread.is_alive()
        self._connection.close()

    def publish(self, *events: StatusEvent) -> None:
        """Write events to the stream."""
        message = StatusEvents(at=time.time(), leader=True, events=list(events))
        with self._lock:
            self._channel.basic_publish(
                names.STATUS,
                names.STATUS_KEY,
                msgspec.json.encode(message),
                pika.BasicProperties(type=names.TYPE_STATUS),
            )

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.publish()
            self._stopped.wait(INTERVAL_S)
