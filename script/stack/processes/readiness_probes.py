"""Readiness probes of a started stack; each returns quickly, so that it can be polled."""

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

Probe = Callable[[], bool]


def answers_http(url: str) -> bool:
    """Whether a GET of `url` returns status 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own loopback URL
            return bool(response.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


class BrokerProbe:
    """Consumers and heartbeats, as the broker shows them."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(parameters(url, "straightline-stack"))
        self._channel = self._connection.channel()
        queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.queue_bind(queue, names.SIGNALS, "heartbeat")
        self._healthy: set[str] = set()
        self._active: dict[str, int] = {}
        self._unhealthy_reasons: dict[str, str] = {}
        self._channel.basic_consume(queue, self._on_heartbeat, auto_ack=True)

    def consumed(self, queue: str) -> bool:
        """Whether a queue has a consumer."""
        found: Any = self._channel.queue_declare(queue, passive=True)
        return bool(found.method.consumer_count)

    def healthy(self, backend: str) -> bool:
        """Whether a pool of the backend has reported to be healthy."""
        self._connection.process_data_events(0)
        return backend in self._healthy

    def idle(self, backend: str) -> bool:
        """Whether the last heartbeat of the backend's pool had no active request."""
        self._connection.process_data_events(0)
        return self._active.get(backend) == 0

    def unhealthy_reason(self, backend: str) -> str:
        """Return why the backend's pool was not healthy in its last heartbeat, as the end of a sentence."""
        if backend in self._unhealthy_reasons:
            return f"; it reports: {self._unhealthy_reasons[backend]}"
        return "; it has sent no heartbeat"

    def close(self) -> None:
        """Close the connection."""
        if self._connection.is_open:
            self._connection.close()

    def _on_heartbeat(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        beat = msgspec.json.decode(body, type=Heartbeat)
        self._active[beat.backend] = beat.active
        if beat.healthy and not beat.closing:
            self._healthy.add(beat.backend)
        else:
            self._unhealthy_reasons[beat.backend] = beat.reason or "no reason given"


@contextmanager
def broker_probe(url: str) -> Iterator[BrokerProbe]:
    """Connect a probe to the broker while the block lasts."""
    probe = BrokerProbe(url)
    try:
        yield probe
    finally:
        probe.close()
