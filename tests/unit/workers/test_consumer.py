"""What a lost connection leaves behind in a pool."""

import gc
import weakref
from typing import Any

import pytest
from celery.worker.consumer import Consumer

from workers.celery_ext.consumer import PoolConsumer


class Ring:
    """Refers to itself, as what hangs on a connection of Celery's does."""

    def __init__(self) -> None:
        self.itself = self


def test_reference_cycles_of_the_last_connection_are_collected_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Consumer, "create_task_handler", lambda *_: print)
    consumer: Any = PoolConsumer.__new__(PoolConsumer)
    gc.disable()  # or Python might find it by itself
    try:
        left = weakref.ref(Ring())
        assert left() is not None
        consumer.create_task_handler()
        assert left() is None
    finally:
        gc.enable()
