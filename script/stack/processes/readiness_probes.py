"""The signs that a started stack is ready, each a question that is quick to ask again and again."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec
import pika
import pika.exceptions

from straightline import names
from straightline.amqp.connection.parameters import parameters
from straightline.contracts import Heartbeat


def answers_http(url: str) -> bool:
    """Whether a GET there says 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own loopback URL
            return bool(response.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


class BrokerProbe:
    """What the broker tells of the processes that hang on it."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(parameters(url, "straightline-stack"))
        self._channel = self._connection.channel()
        queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.queue_bind(queue, names.SIGNALS, "heartbeat")
        self._healthy: set[str] = set()
        self._active: dict[str, int] = {}
        self._ill: dict[str, str] = {}
        self._channel.basic_consume(queue, self._beat, auto_ack=True)

    def consumed(self, queue: str) -> bool:
        """Whether somebody consumes that queue."""
        found: Any = self._channel.queue_declare(queue, passive=True)
        return bool(found.method.consumer_count)

    def healthy(self, backend: str) -> bool:
        """Whether a pool of that backend has reported health."""
        self._connection.process_data_events(0)
        return backend in self._healthy

    def idle(self, backend: str) -> bool:
        """Whether the pool of that backend has reported that it has nothing in work."""
        self._connection.process_data_events(0)
        return self._active.get(backend) == 0

    def complaint(self, backend: str) -> str:
        """Return what the backend's pool last said of not being healthy, as the end of a sentence."""
        return f"; it says: {self._ill[backend]}" if backend in self._ill else "; it has said nothing"

    def close(self) -> None:
        """Leave the broker."""
        if self._connection.is_open:
            self._connection.close()

    def _beat(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        beat = msgspec.json.decode(body, type=Heartbeat)
        self._active[beat.backend] = beat.active
        if beat.healthy and not beat.closing:
            self._healthy.add(beat.backend)
        else:
            self._ill[beat.backend] = beat.reason or "it gave no reason"


@contextmanager
def broker_probe(url: str) -> Iterator[BrokerProbe]:
    """Watch the broker for as long as the block lasts."""
    signs = BrokerProbe(url)
    try:
        yield signs
    finally:
        signs.close()


Probe = Callable[[], bool]
