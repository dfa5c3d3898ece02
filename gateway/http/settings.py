"""What the HTTP gateway reads from the environment (`STRAIGHTLINE_` + the name in capitals)."""

from pathlib import Path
from typing import Annotated

import msgspec

from gateway.webhooks.address import parse_hosts
from straightline.contracts.request import MAX_INLINE_BYTES

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For gunicorn, which serves it.

    Attributes:
        gateway_bind: where it listens.
        gateway_workers: processes.
        gateway_threads: requests that each may wait for at once.
        gateway_grace: seconds that running requests get on SIGTERM.
    """

    gateway_bind: str = "127.0.0.1:8000"
    gateway_workers: Count = 1
    gateway_threads: Count = 128
    gateway_grace: Annotated[int, msgspec.Meta(ge=0)] = 30


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """For `python -m gateway http`.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost`.
        database_url: `postgresql+psycopg2://...`, of the ledger: keys, outcomes, failure rates.
        models_dir: the bundles, for the models' metadata.
        store: URL of the store of large bodies; None lets data travel inline.
        gateway_timeout: seconds that a request which names no deadline may take to be answered.
        gateway_pending: requests that may be waited for at once; above it new ones are asked to come later.
        gateway_max_body: largest body of a request in bytes.
        gateway_max_batch: largest upload of a batch job in bytes; it goes into the store.
        inline_limit: above so many bytes `data` goes into the store.
        webhook_hosts: hosts, separated by commas, that webhooks may reach though they lie in our own network,
            and by plain HTTP.
        key_seconds: how long a key that was looked up is believed without looking again.
    """

    broker_url: str
    database_url: str
    models_dir: Path
    store: str | None = None
    gateway_timeout: Positive = 60.0
    gateway_pending: Count = 512
    gateway_max_body: Count = 64 * 1024 * 1024
    gateway_max_batch: Count = 4 * 1024 * 1024 * 1024
    inline_limit: Count = MAX_INLINE_BYTES
    webhook_hosts: str = ""
    key_seconds: Positive = 30.0

    @property
    def trusted(self) -> frozenset[str]:
        """The webhooks' hosts, each by itself."""
        return parse_hosts(self.webhook_hosts)
