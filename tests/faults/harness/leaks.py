"""Search for secrets in logs, worker events and process arguments."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pika
import pika.exceptions

OVERLAP_BYTES = 4096
"""Overlap of two reads of a log, so that a secret on the boundary is found."""


class EventMonitor:
    """Consume the worker events that Flower would get and record secrets found in them."""

    def __init__(self, url: str, secrets: Iterable[str]) -> None:
        self._url = url
        self._secrets = [secret.encode() for secret in secrets]
        self._closing = threading.Event()
        self.received = 0
        self.leaks: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="event-monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop consuming."""
        self._closing.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._consume()
            except (pika.exceptions.AMQPError, OSError):
                self._closing.wait(1.0)  # the broker is down, or no worker has declared the exchange yet

    def _consume(self) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        try:
            channel = connection.channel()
            queue: Any = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, "celeryev", "#")
            for method, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=0.5):
                if self._closing.is_set():
                    return
                if method is not None:
                    self.received += 1
                    self.leaks.update("an event" for secret in self._secrets if secret in body)
        finally:
            if connection.is_open:
                connection.close()


def log_sizes(directory: Path) -> dict[Path, int]:
    """Return the current size of each log in bytes."""
    return {file: file.stat().st_size for file in directory.glob("*.log")}


def in_logs(directory: Path, since: Mapping[Path, int], secrets: Iterable[str]) -> Iterator[str]:
    """Yield the logs that got a secret after they had the sizes `since`."""
    wanted = [secret.encode() for secret in secrets]
    for file in sorted(directory.glob("*.log")):
        with file.open("rb") as log:
            log.seek(since.get(file, 0))
            tail = b""
            while chunk := log.read(1 << 20):
                if any(secret in tail + chunk for secret in wanted):
                    yield f"the log {file.name}"
                    break
                tail = chunk[-OVERLAP_BYTES:]


def in_arguments(pids: Iterable[int], secrets: Iterable[str]) -> Iterator[str]:
    """Yield the processes with a secret in their arguments, which every user can read."""
    wanted = [secret.encode() for secret in secrets]
    for pid in pids:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if any(secret in line for secret in wanted):
            yield f"the arguments of process {pid}"
