"""The start and stop of a pool, as a step of Celery's worker."""

import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from celery import bootsteps
from celery.concurrency.thread import TaskPool
from celery.worker import state
from kombu import compression
from kombu.common import ignore_errors

from straightline.amqp.consuming.cancellations import CancellationStream
from straightline.amqp.consuming.deployments import DeploymentStream
from straightline.amqp.consuming.reply_queue import ReplyQueue
from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts.deployed import Deployed
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.errors import ConfigurationError, StraightLineError
from straightline.models.catalogue import read_catalogue
from straightline.names import (
    BREAKER_KEY,
    BREAKERS_QUEUE_PREFIX,
    HEARTBEAT_KEY,
    PREDICT_TASK,
    QUESTION_KEY,
    SIGNALS,
)
from straightline.settings import load
from straightline.storage.store import Store
from workers.backends.factory import backend_of_queues, make_backend
from workers.celery_ext.amqp_patches import install
from workers.celery_ext.node_name import ensure_unique_node_name
from workers.celery_ext.remote_control import restrict_remote_control
from workers.coordination.breakers import OpenBreakers
from workers.coordination.cancellation import CancellationTracker
from workers.coordination.heartbeat import FastestLatencies, HeartbeatSender
from workers.coordination.models import ModelRegistryView
from workers.coordination.peers import Peers
from workers.coordination.queue_withdrawal import QueueWithdrawal
from workers.coordination.status_responder import StatusResponder
from workers.execution.executor import PlacementExecutor
from workers.execution.payloads import PayloadStore
from workers.execution.result import PRICES, PoolIdentity
from workers.protocol.base import Backend
from workers.reporting.reporter import CONFIRM_TIMEOUT_S, Reporter
from workers.settings import PoolSettings

MAX_HISTORY_BYTES: Final = 1024 * 1024
"""Bytes that a request's history may add to it on its way back."""
UNBOUNDED: Final = 1 << 30
"""Publishing never waits for room, or a stop would wait with it; the tasks at work bound what is out."""
CLOSE_TIMEOUT_S: Final = 2.0
"""Seconds: every report was confirmed before its task ended, so that only signals may be under way."""


class PoolBootstep(bootsteps.StartStopStep):
    """Opens the backend and what reports, before the first message comes; closes them after the last.

    Attributes:
        environ: where settings are read; the entry point sets it.
    """

    requires = ("celery.worker.components:Pool",)
    environ: Mapping[str, str] = os.environ

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        try:
            if worker.pool_cls is not TaskPool:
                raise ConfigurationError("a pool's backend lives in threads: start it with -P threads")
            name = backend_of_queues(worker.app.amqp.queues.consume_from)
            ensure_unique_node_name(worker.app, worker.hostname)
            self._settings = load(PoolSettings, self.environ)
            self._models = ModelRegistryView(read_catalogue(self._settings.models_dir))
            self._store = Store(self._settings.store) if self._settings.store else None
            self._backend: Backend = make_backend(name, self.environ)
        except StraightLineError as error:
            raise SystemExit(f"workers: {error}") from error

    def start(self, worker: Any) -> None:
        """Make the pool ready."""
        self._pulse: HeartbeatSender | None = None
        # kombu would decompress before any size is checked; nothing of ours is compressed.
        compression._decoders.clear()  # noqa: SLF001 - there is no public way
        restrict_remote_control()
        install()
        # Of a lost connection it writes ten lines, and the publisher one.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        backend, settings, node = self._backend, self._settings, worker.hostname
        self._stopping = threading.Event()
        best_cases = FastestLatencies()
        self._publisher = Publisher(
            settings.broker_url,
            name=node,
            confirm_timeout=CONFIRM_TIMEOUT_S,
            window=UNBOUNDED,
            window_bytes=UNBOUNDED,
            max_body=MAX_BODY_BYTES + MAX_HISTORY_BYTES,
        )
        place = PoolIdentity(backend=backend.name, worker=node, price=PRICES[backend.name])
        cancellations = CancellationTracker(time.time)
        breakers = OpenBreakers(backend.name, time.time)
        self._deployments = DeploymentStream(
            settings.broker_url, name=f"{node} deployed", on_change=self._learn
        )
        answerer = PlacementExecutor(
            backend,
            self._models.find,
            PayloadStore(self._store),
            time.time,
            cancellations=cancellations,
            breakers=breakers,
            informed=self._deployments.synced,
        )
        reporter = Reporter(self._publisher, place, self._stopping, time.time)
        cancellations.on_cancel_running(reporter.end_early)
        self._cancellations = CancellationStream(
            settings.broker_url, name=f"{node} cancelled", on_id=cancellations.cancel
        )
        self._cancellations.start()
        self._models.on_change(backend.learn)
        self._deployments.start()
        peers = Peers(backend.name, node, time.time)
        withdrawal = QueueWithdrawal(
            backend.health,
            peers,
            lambda wanted: worker.consumer.set_consuming(wanted, withdrawal.on_consuming_changed),
        )
        self._signals = ReplyQueue(
            settings.broker_url,
            name=f"{node} signals",
            queue=f"{BREAKERS_QUEUE_PREFIX}{secrets.token_hex(12)}",
            exchange=SIGNALS,
            key=BREAKER_KEY,
            on_message=lambda _, body: breakers.update(body),
            also={
                HEARTBEAT_KEY: peers.on_heartbeat,
                QUESTION_KEY: StatusResponder(self._publisher, place, cancellations).on_query,
            },
        )
        worker.app.tasks[PREDICT_TASK].attach(answerer, reporter, best_cases, withdrawal, self._wait)
        self._pulse = pulse = HeartbeatSender(
            sender=self._publisher,
            backend=backend,
            worker=node,
            slots=settings.slots or worker.concurrency,
            active=_active,
            best_cases=best_cases,
            clock=time.time,
            on_health=withdrawal.update,
        )
        pulse.start()

    def stop(self, worker: Any) -> None:
        """Say goodbye and wait for the tasks that run; messages that were not started go back."""
        self._say_goodbye()
        _drain(worker)
        self._close()

    def terminate(self, worker: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Say goodbye without waiting; what runs comes back to another worker."""
        self._say_goodbye()
        self._close()

    def _learn(self, deployed: Deployed) -> None:
        """Take an announcement, and say at once which models can be asked here: requests will come."""
        self._models.learn(deployed)
        if self._pulse is not None:
            self._pulse.send_now()

    def _say_goodbye(self) -> None:
        self._stopping.set()
        if self._pulse is not None:
            self._pulse.stop()

    def _wait(self) -> None:
        """Wait until it is known what was cancelled and what is deployed."""
        self._cancellations.wait()
        self._deployments.wait()

    def _close(self) -> None:
        self._publisher.close(CLOSE_TIMEOUT_S)
        self._cancellations.close(CLOSE_TIMEOUT_S)
        self._deployments.close(CLOSE_TIMEOUT_S)
        self._signals.close(CLOSE_TIMEOUT_S)
        self._backend.close()


def _drain(worker: Any) -> None:
    """Wait until no task runs, keeping the broker's connection alive, on which they are yet to be acked."""
    waiter = threading.Thread(target=worker.pool.executor.shutdown, kwargs={"cancel_futures": True})
    waiter.start()
    while waiter.is_alive():
        waiter.join(1.0)
        connection = worker.consumer.connection
        if connection is not None:
            ignore_errors(connection, connection.heartbeat_check)


def _active() -> int:
    """Count the requests that the pool has, running or waiting for a thread."""
    while True:
        try:
            return sum(len(request.work) for request in tuple(state.reserved_requests))
        except RuntimeError:
            continue  # the set changed while it was copied
