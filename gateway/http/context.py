"""The connections and services that the endpoints share."""

from dataclasses import dataclass

from gateway.http.auth import KeyAuthenticator
from gateway.http.requests.broker_client import BrokerClient
from gateway.http.requests.models import ModelRegistry
from gateway.http.requests.request_service import RequestService
from gateway.http.requests.status_lookup import StatusLookup
from gateway.http.requests.worker_directory import WorkerDirectory
from gateway.http.settings import Settings
from outcomes.db.pool import LedgerPool
from straightline.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class AppContext:
    """Wiring of one gateway process, made once at its start.

    Attributes:
        settings: as read from the environment.
        broker: publishes requests and cancellations.
        ledger: keys, outcomes, batch jobs and webhooks.
        auth: API keys.
        models: deployed models.
        workers: live workers by host.
        statuses: finds the status of any request.
        store: of large bodies; None if the gateway has none.
        requests: submits requests and waits for outcomes.
    """

    settings: Settings
    broker: BrokerClient
    ledger: LedgerPool
    auth: KeyAuthenticator
    models: ModelRegistry
    workers: WorkerDirectory
    statuses: StatusLookup
    store: Store | None
    requests: RequestService
