"""Settings that the ledger's commands read from the environment (`STRAIGHTLINE_` + the name in capitals)."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from straightline.settings import load


class QuerySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the commands that only read.

    Attributes:
        database_url: `postgresql+psycopg2://user:password@host:port/database`.
    """

    database_url: str


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `record`.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost`.
        database_url: as above.
        recorder_prefetch: maximum unacknowledged messages, each of 1..n outcomes and up to 16 MiB. A higher
            number is not faster.
        recorder_gather: seconds to wait for more messages after the first of a batch.
        recorder_statement_timeout: seconds that a statement may take.
        recorder_lock_timeout: seconds that a statement may wait for a lock.
        log_requests: log a line for each request that has ended.
    """

    broker_url: str
    database_url: str
    recorder_prefetch: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 64
    recorder_gather: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.02
    recorder_statement_timeout: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    recorder_lock_timeout: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    log_requests: bool = True


class ReconcilerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `reconcile`.

    Attributes:
        broker_url, database_url: as for `record`.
        reconciler_interval: seconds between checks for expired leases.
        reconciler_body_bytes: bytes of a dead letter's body to store; it holds a producer's data.
        store: URL of the store of large bodies, to sweep; None for none.
        sweep_interval: seconds between sweeps; 0 leaves sweeping to `straightline sweep`.
        store_keep: seconds that every file stays in the store; longer than the longest deadline.
    """

    broker_url: str
    database_url: str
    store: str | None = None
    sweep_interval: Annotated[float, msgspec.Meta(ge=0, le=7 * 86_400)] = 3600.0
    store_keep: Annotated[float, msgspec.Meta(gt=0)] = 30 * 86_400.0
    reconciler_interval: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0
    reconciler_body_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0


class OwnerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the commands for the tables' owner: `migrate`, `retain`, `keys`.

    Attributes:
        database_owner_url: as above; None if `database_url` is the owner's.
    """

    database_owner_url: str | None = None


def owner_url(environ: Mapping[str, str]) -> str:
    """Return the database URL of the tables' owner.

    Raises:
        ConfigurationError: it is not set.
    """
    return load(OwnerSettings, environ).database_owner_url or load(QuerySettings, environ).database_url
