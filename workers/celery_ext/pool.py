"""A running pool: its backend, its connections to the broker, and the parts between them."""

import secrets
import threading
import time
from typing import Any, Final

from celery.worker import state

from straightline.amqp.consuming.cancellations import CancellationStream
from straightline.amqp.consuming.deployments import DeploymentStream
from straightline.amqp.consuming.reply_queue import ReplyQueue
from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts.deployed import Deployed
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.names import (
    BREAKER_KEY,
    BREAKERS_QUEUE_PREFIX,
    HEARTBEAT_KEY,
    PREDICT_TASK,
    SIGNALS,
)
from straightline.storage.store import Store
from workers.celery_ext.settings import PoolSettings
from workers.coordination.breakers import OpenBreakers
from workers.coordination.cancellation import CancellationTracker
from workers.coordination.heartbeat import HeartbeatSender
from workers.coordination.latencies import FastestLatencies
from workers.coordination.models import ModelRegistryView
from workers.coordination.peers import Peers
from workers.coordination.queue_withdrawal import QueueWithdrawal
from workers.coordination.status_reporter import StatusReporter
from workers.domain.outcomes import PRICES, PoolIdentity
from workers.execution.executor import PlacementExecutor
from workers.execution.payloads import PayloadStore
from workers.protocol.base import Backend
from workers.reporting.reporter import CONFIRM_TIMEOUT_S, Reporter

MAX_HISTORY_BYTES: Final = 1024 * 1024
"""How much a request's history may add to its body on the way back."""
UNBOUNDED: Final = 1 << 30
"""Publisher window: a publish that waited for room would block a stop. The running tasks bound it instead."""
CLOSE_TIMEOUT_S: Final = 2.0
"""All reports are confirmed before their tasks end, so only signals may be outstanding."""


class Pool:
    """The parts of a pool. Constructing one opens no connection.

    Args:
        backend: where the models run.
        models: the models that it may execute.
        store: for large bodies; None without one.
        settings: of the pool.
        worker: Celery's worker.
    """

    def __init__(
        self,
        backend: Backend,
        models: ModelRegistryView,
        store: Store | None,
        settings: PoolSettings,
        worker: Any,
    ) -> None:
        self._backend, self._models, self._worker = backend, models, worker
        self._node: str = worker.hostname
        self._url = settings.broker_url
        self._identity = PoolIdentity(backend=backend.name, worker=self._node, price=PRICES[backend.name])
        self._stopping = threading.Event()
        self._heartbeat: HeartbeatSender | None = None
        self._latencies = FastestLatencies()
        self._breakers = OpenBreakers(backend.name, time.time)
        self._peers = Peers(backend.name, self._node, time.time)
        self._tracker = CancellationTracker(time.time)
        self._withdrawal = QueueWithdrawal(backend.health, self._peers, self._set_consuming)
        self._payloads = PayloadStore(store)
        self._slots = settings.slots or worker.concurrency

    def start(self) -> None:
        """Connect, read what is cancelled and deployed, serve placements and send heartbeats."""
        self._publisher = self._make_publisher()
        reporter = Reporter(self._publisher, self._identity, self._stopping, time.time)
        self._tracker.on_cancel_running(reporter.report_cancelled)
        self._cancellations = CancellationStream(
            self._url, name=f"{self._node} cancelled", on_id=self._tracker.cancel
        )
        self._cancellations.start()
        self._deployments = DeploymentStream(
            self._url, name=f"{self._node} deployed", on_change=self._update_models
        )
        self._models.on_change(self._backend.update_deployments)
        self._deployments.start()
        self._signals = self._make_signals_inbox()
        self._worker.app.tasks[PREDICT_TASK].attach(
            self._make_executor(), reporter, self._latencies, self._withdrawal, self._await_streams
        )
        self._heartbeat = self._make_heartbeat()
        self._heartbeat.start()
        self._status = StatusReporter(self._publisher, self._identity, self._tracker, time.time)
        self._status.start()

    def announce_stop(self) -> None:
        """End the reporter's waits, and send the last heartbeat."""
        self._stopping.set()
        if self._heartbeat is not None:
            self._heartbeat.stop()

    def close(self) -> None:
        """Close the connections and the backend."""
        self._status.stop()
        self._publisher.close(CLOSE_TIMEOUT_S)
        self._cancellations.close(CLOSE_TIMEOUT_S)
        self._deployments.close(CLOSE_TIMEOUT_S)
        self._signals.close(CLOSE_TIMEOUT_S)
        self._backend.close()

    def _make_publisher(self) -> Publisher:
        return Publisher(
            self._url,
            name=self._node,
            confirm_timeout=CONFIRM_TIMEOUT_S,
            window=UNBOUNDED,
            window_bytes=UNBOUNDED,
            max_body=MAX_BODY_BYTES + MAX_HISTORY_BYTES,
        )

    def _make_executor(self) -> PlacementExecutor:
        return PlacementExecutor(
            self._backend,
            self._models.find,
            self._payloads,
            time.time,
            cancellations=self._tracker,
            breakers=self._breakers,
            registry_synced=self._deployments.synced,
        )

    def _make_signals_inbox(self) -> ReplyQueue:
        return ReplyQueue(
            self._url,
            name=f"{self._node} signals",
            queue=f"{BREAKERS_QUEUE_PREFIX}{secrets.token_hex(12)}",
            exchange=SIGNALS,
            key=BREAKER_KEY,
            on_message=lambda _, body: self._breakers.update(body),
            also={HEARTBEAT_KEY: self._peers.on_heartbeat},
        )

    def _make_heartbeat(self) -> HeartbeatSender:
        return HeartbeatSender(
            sender=self._publisher,
            backend=self._backend,
            worker=self._node,
            slots=self._slots,
            active=_active_requests,
            latencies=self._latencies,
            clock=time.time,
            on_health=self._withdrawal.update,
        )

    def _set_consuming(self, wanted: bool) -> None:
        self._worker.consumer.set_consuming(wanted, self._withdrawal.on_consuming_changed)

    def _update_models(self, deployed: Deployed) -> None:
        """Apply an announcement, and report the new models at once, since requests will follow."""
        self._models.update(deployed)
        if self._heartbeat is not None:
            self._heartbeat.send_now()

    def _await_streams(self) -> None:
        """Wait until the streams of cancellations and deployments have been read."""
        self._cancellations.wait()
        self._deployments.wait()


def _active_requests() -> int:
    """Count the requests in the pool, running or waiting for a thread."""
    while True:
        try:
            return sum(len(request.work) for request in tuple(state.reserved_requests))
        except RuntimeError:
            continue  # the set changed while it was copied
