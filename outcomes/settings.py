"""What the ledger's commands read from the environment (`STRAIGHTLINE_` + the name in capitals)."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from straightline.settings import load


class QuestionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For the commands that ask.

    Attributes:
        database_url: `postgresql+psycopg2://user:password@host:port/database`.
    """

    database_url: str


class ReconcilerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For `reconcile`.

    Attributes:
        broker_url, database_url: as for `record`.
        reconciler_interval: seconds between looks at what is past its lease.
        reconciler_body_bytes: bytes of a dead letter's body that are kept; it holds what a producer sent.
        store: URL of the store of large bodies, which is swept; None for none.
        sweep_interval: seconds between sweeps; 0 leaves sweeping to `straightline sweep`.
        store_keep: seconds that everything stays in the store; longer than the longest deadline.
    """

    broker_url: str
    database_url: str
    store: str | None = None
    sweep_interval: Annotated[float, msgspec.Meta(ge=0, le=7 * 86_400)] = 3600.0
    store_keep: Annotated[float, msgspec.Meta(gt=0)] = 30 * 86_400.0
    reconciler_interval: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0
    reconciler_body_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0


class OwnerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For the commands that only the tables' owner may run: `migrate`, `retain`, `keys`.

    Attributes:
        database_owner_url: as above; without it `database_url` is the owner's.
    """

    database_owner_url: str | None = None


def owner_url(environ: Mapping[str, str]) -> str:
    """Return the database's URL for its owner.

    Raises:
        ConfigurationError: it is not set.
    """
    return load(OwnerSettings, environ).database_owner_url or load(QuestionSettings, environ).database_url


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For `record`.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost`.
        database_url: as above.
        recorder_prefetch: messages held unacknowledged at most, each of 1..n outcomes and up to 16 MiB. More
            record no faster.
        recorder_gather: seconds to wait for more messages after the first of a run.
        recorder_statement_timeout: seconds that a statement may take.
        recorder_lock_timeout: seconds that it may wait for a lock.
    """

    broker_url: str
    database_url: str
    recorder_prefetch: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 64
    recorder_gather: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.02
    recorder_statement_timeout: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    recorder_lock_timeout: Annotated[float, msgspec.Meta(gt=0)] = 5.0
