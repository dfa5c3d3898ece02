"""Construction of the connections and services of one gateway process."""

import secrets
from collections.abc import Sequence
from typing import Final

from gateway.http.auth import KeyAuthenticator
from gateway.http.context import AppContext
from gateway.http.requests.broker_client import BrokerClient
from gateway.http.requests.idempotency import IdempotencyGuard
from gateway.http.requests.models import ModelRegistry
from gateway.http.requests.request_service import RequestService
from gateway.http.requests.status_lookup import StatusLookup
from gateway.http.requests.status_map import StatusMap
from gateway.http.requests.submission_log import SubmissionLog
from gateway.http.requests.worker_directory import WorkerDirectory
from gateway.http.settings import Settings
from outcomes.db.pool import LedgerPool
from outcomes.queries.keys import Key, find_key
from outcomes.queries.submissions import Submission, content_digest, insert_submissions
from straightline import names
from straightline.amqp.consuming.deployments import DeploymentStream
from straightline.amqp.consuming.reply_queue import ReplyQueue
from straightline.amqp.consuming.status_events import StatusEventReader
from straightline.storage.store import Store
from straightline.support.event_log import EventLogger

REGISTRY_WAIT_S: Final = 1.0
"""Longest wait at the start for the registry: without it a deployed model would be answered with 404."""
LEDGER_STATEMENT_TIMEOUT_S: Final = 8.0
LEDGER_TIMEOUT_S: Final = 10.0
"""A request looks up its key and then its data: both time-outs must fit into the 30 s of the `straightline`
command."""
log = EventLogger(__name__)


def connect(settings: Settings) -> AppContext:
    """Connect to the broker, the ledger and the store.

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    ledger = LedgerPool(
        settings.database_url,
        name="straightline-gateway",
        wait=LEDGER_TIMEOUT_S,
        statement_timeout=LEDGER_STATEMENT_TIMEOUT_S,
        socket_timeout=LEDGER_TIMEOUT_S,
    )
    models = _model_registry(settings)
    broker = BrokerClient(settings.broker_url, max_pending=settings.gateway_pending)
    store = Store(settings.store) if settings.store else None
    return AppContext(
        settings=settings,
        broker=broker,
        ledger=ledger,
        auth=_authenticator(ledger, settings),
        models=models,
        workers=_worker_directory(settings),
        statuses=StatusLookup(
            ledger=ledger, placement_ledger=_placement_ledger(settings), events=_status_map(settings)
        ),
        store=store,
        requests=RequestService(
            broker=broker,
            ledger=ledger,
            submissions=_submission_log(settings),
            store=store,
            idempotency=_idempotency_guard(settings),
            timeout_s=settings.gateway_timeout,
            inline_limit=settings.inline_limit,
        ),
    )


def _authenticator(ledger: LedgerPool, settings: Settings) -> KeyAuthenticator:
    def find(digest: str) -> Key | None:
        with ledger.connection() as connection:
            return find_key(connection, digest)

    return KeyAuthenticator(find, ttl_s=settings.key_seconds)


def _submission_log(settings: Settings) -> SubmissionLog:
    # Its own connection, so that slow queries do not delay the 202 of a caller.
    ledger = LedgerPool(settings.database_url, name="straightline-gateway-submissions", connections=1)

    def write(submissions: Sequence[Submission]) -> None:
        with ledger.connection() as connection:
            insert_submissions(connection, submissions)

    return SubmissionLog(write)


def _placement_ledger(settings: Settings) -> LedgerPool:
    # Its own connection: the search for a placement reads much and must not delay other look-ups.
    return LedgerPool(
        settings.database_url,
        name="straightline-gateway-placements",
        connections=1,
        wait=0.1,
        statement_timeout=1.0,
    )


def _idempotency_guard(settings: Settings) -> IdempotencyGuard:
    # Its own short time-outs: every request with an id or a key waits for this look-up.
    ledger = LedgerPool(
        settings.database_url,
        name="straightline-gateway-idempotency",
        wait=0.5,
        statement_timeout=0.5,
    )

    def find_digest(request_id: str) -> str | None:
        with ledger.connection() as connection:
            return content_digest(connection, request_id)

    return IdempotencyGuard(find_digest)


def _model_registry(settings: Settings) -> ModelRegistry:
    """Follow the deployed models; wait briefly for the first announcement."""
    models = ModelRegistry(settings.models_dir)
    deployments = DeploymentStream(
        settings.broker_url, name="straightline-gateway-deployed", on_change=models.update, marks=False
    )
    deployments.start()
    if not deployments.wait_for_first(REGISTRY_WAIT_S):
        log.info("registry_not_read", models_dir=str(settings.models_dir))
    return models


def _status_map(settings: Settings) -> StatusMap:
    """Follow the status events of all requests."""
    status = StatusMap()
    reader = StatusEventReader(
        settings.broker_url, name="straightline-gateway-status", on_events=status.update
    )
    status.reader_trouble = lambda: reader.trouble
    reader.start()
    return status


def _worker_directory(settings: Settings) -> WorkerDirectory:
    """Follow the heartbeats of the workers."""
    workers = WorkerDirectory()
    ReplyQueue(
        settings.broker_url,
        name="straightline-gateway-workers",
        queue=f"{names.REPLY_QUEUE_PREFIX}{secrets.token_hex(12)}",
        exchange=names.SIGNALS,
        key=names.HEARTBEAT_KEY,
        on_message=lambda _, body: workers.update(body),
    )
    return workers
