"""Settings of the HTTP gateway, read from the environment as `STRAIGHTLINE_` and the upper-case name."""

from pathlib import Path
from typing import Annotated

import msgspec

from gateway.webhooks.address import parse_hosts
from straightline.contracts.request import MAX_INLINE_BYTES

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of gunicorn.

    Attributes:
        gateway_bind: `host:port` to listen on.
        gateway_workers: number of processes.
        gateway_threads: concurrent requests a process.
        gateway_grace: seconds that running requests get on SIGTERM.
    """

    gateway_bind: str = "127.0.0.1:8000"
    gateway_workers: Count = 1
    gateway_threads: Count = 128
    gateway_grace: Annotated[int, msgspec.Meta(ge=0)] = 30


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `python -m gateway http`.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost`.
        database_url: `postgresql+psycopg2://...` of the ledger.
        models_dir: directory of model bundles.
        store: URL of the store of large bodies; None keeps data inline.
        gateway_timeout: seconds until a synchronous request without a deadline is answered with 504.
        gateway_pending: requests that a process may wait for at once; others get 503.
        gateway_max_body: largest request body in bytes.
        gateway_max_batch: largest upload of a batch job in bytes.
        inline_limit: size in bytes above which `data` goes to the store.
        webhook_hosts: comma-separated allowlist of private hosts for webhooks, also over plain HTTP.
        key_seconds: seconds for which an API key is cached.
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
        """The hosts in `webhook_hosts`."""
        return parse_hosts(self.webhook_hosts)
