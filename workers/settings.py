"""What the pools read from the environment, once, where a worker starts."""

from pathlib import Path
from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]


class AppSettings(msgspec.Struct, frozen=True):
    """What Celery needs, as a worker and for Flower.

    Attributes:
        broker_url: AMQP URL of the broker.
    """

    broker_url: str


class PoolSettings(msgspec.Struct, frozen=True):
    """What a running pool needs besides.

    Attributes:
        broker_url: AMQP URL of the broker, for what the pool reports.
        models_dir: directory of the model bundles.
        store: URL of the store of large bodies; None where there is none.
        slots: requests the pool takes at once; None takes its Celery concurrency.
    """

    broker_url: str
    models_dir: Path
    store: str | None = None
    slots: Positive | None = None
