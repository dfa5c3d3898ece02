"""Messages that would harm a worker before their content is checked."""

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest

from straightline import names
from tests.events import logged_lines
from tests.integration.security.raw_headers import HARMFUL, RawProperties

pytestmark = pytest.mark.integration


def test_undecodable_headers_dead_letter_only_their_message(
    bench: Any, start_worker: Callable[..., Any]
) -> None:
    worker = start_worker()
    properties = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2}
    for name, table in HARMFUL.items():
        bench.channel.basic_publish(
            names.PLACEMENTS, "local", name.encode(), RawProperties(table, **properties), mandatory=True
        )
    bench.place(bench.ticket([1.0, 2.0]))
    bench.outcomes(1)
    bench.wait_for("dead letters", lambda: bench.depth(names.DEAD_QUEUE) == len(HARMFUL))
    assert worker.process.poll() is None
    assert "Connection to broker lost" not in worker.log


def test_a_compressed_message_is_never_decompressed(bench: Any, start_worker: Callable[..., Any]) -> None:
    bomb = gzip.compress(bytes(512 * 1024 * 1024), compresslevel=1)
    worker = start_worker()
    before = _memory(worker.process.pid)
    for kind in ("application/x-gzip", "gzip", "zlib", "application/x-bz2", "application/zstd"):
        bench.publish(bomb, {"task": names.PREDICT_TASK, "id": "5", "compression": kind})
    bench.wait_for("dead letters", lambda: bench.depth(names.DEAD_QUEUE) == 5)
    assert _memory(worker.process.pid) - before < 64 * 1024 * 1024


def test_remote_control_accepts_only_json(
    bench: Any, start_worker: Callable[..., Any], tmp_path: Path
) -> None:
    worker = start_worker()
    mark = tmp_path / "unpickled"
    pickled = pickle.dumps(_Touch(mark))
    for body, properties in (
        (pickled, {"content_type": "application/x-python-serialize", "content_encoding": "binary"}),
        (gzip.compress(b"{}"), {"content_type": "application/json", "headers": {"compression": "gzip"}}),
        (b"5", {"content_type": "application/json", "content_encoding": "utf-8"}),
        (b"[" * 100_000, {"content_type": "application/json", "content_encoding": "utf-8"}),
    ):
        bench.channel.basic_publish("celery.pidbox", "", body, pika.BasicProperties(**properties))
    for table in HARMFUL.values():
        bench.channel.basic_publish("celery.pidbox", "", b"{}", RawProperties(table))
    bench.place(bench.ticket([1.0, 2.0]))
    bench.outcomes(1)
    bench.wait_for("refusals", lambda: len(_dropped(worker.log)) >= 2)
    assert not mark.exists()
    assert "Connection to broker lost" not in worker.log
    assert worker.process.poll() is None


def _dropped(log: str) -> list[dict[str, Any]]:
    return [fields for fields in logged_lines(log, "message_unusable") if fields["dropped"]]


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def _memory(pid: int) -> int:
    """Bytes that a process has had in memory at most."""
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024
