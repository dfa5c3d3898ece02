"""Settings of the Celery application and the pool, read from the environment at start-up."""

from pathlib import Path
from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]


class AppSettings(msgspec.Struct, frozen=True):
    """Settings of the application, for workers and Flower.

    Attributes:
        broker_url: AMQP URL of the broker.
    """

    broker_url: str


class PoolSettings(msgspec.Struct, frozen=True):
    """Settings of a running pool.

    Attributes:
        broker_url: AMQP URL of the broker, for the pool's own connections.
        models_dir: directory of the model bundles.
        store: URL of the object store for large bodies; None without one.
        slots: number of requests that the pool executes at once; None for its Celery concurrency.
    """

    broker_url: str
    models_dir: Path
    store: str | None = None
    slots: Positive | None = None
