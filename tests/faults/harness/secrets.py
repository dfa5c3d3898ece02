"""Search for secrets in logs, events, the ledger's texts and process arguments."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pika
import pika.exceptions

OVERLAP = 4096
"""Bytes that two looks at a stream share, so that no secret falls between."""


class Ear:
    """Listens to the events that Flower would get, and says whether a secret was among them."""

    def __init__(self, url: str, secrets: Iterable[str]) -> None:
        self._url = url
        self._secrets = [secret.encode() for secret in secrets]
        self._over = threading.Event()
        self.heard = 0
        self.leaks: set[str] = set()
        self._thread = threading.Thread(target=self._listen, name="ear", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._over.set()
        self._thread.join(10)

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                self._connected()
            except (pika.exceptions.AMQPError, OSError):
                self._over.wait(1.0)  # the broker is away, or no worker has declared the exchange yet

    def _connected(self) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        try:
            channel = connection.channel()
            queue: Any = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, "celeryev", "#")
            for method, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=0.5):
                if self._over.is_set():
                    return
                if method is not None:
                    self.heard += 1
                    self.leaks.update("an event" for secret in self._secrets if secret in body)
        finally:
            if connection.is_open:
                connection.close()


def sizes(directory: Path) -> dict[Path, int]:
    """Return how long each log is now."""
    return {file: file.stat().st_size for file in directory.glob("*.log")}


def in_logs(directory: Path, since: Mapping[Path, int], secrets: Iterable[str]) -> Iterator[str]:
    """Say in which logs a secret was written after they had these sizes."""
    wanted = [secret.encode() for secret in secrets]
    for file in sorted(directory.glob("*.log")):
        with file.open("rb") as log:
            log.seek(since.get(file, 0))
            tail = b""
            while chunk := log.read(1 << 20):
                if any(secret in tail + chunk for secret in wanted):
                    yield f"the log {file.name}"
                    break
                tail = chunk[-OVERLAP:]


def in_arguments(pids: Iterable[int], secrets: Iterable[str]) -> Iterator[str]:
    """Say of which processes the arguments, which every user can read, hold a secret."""
    wanted = [secret.encode() for secret in secrets]
    for pid in pids:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if any(secret in line for secret in wanted):
            yield f"the arguments of process {pid}"
