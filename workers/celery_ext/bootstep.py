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

from straightline.amqp.consuming.cancellations import Cancellations
from straightline.amqp.consuming.deployments import Deployments
from straightline.amqp.consuming.reply_queue import Inbox
from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts.deployed import Deployed
from straightline.contracts.request import MAX_BODY
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
from workers.backends.factory import backend_of, make_backend
from workers.celery_ext.amqp_patches import read_sturdily
from workers.celery_ext.node_name import refuse_namesake
from workers.celery_ext.remote_control import answer_questions_alone
from workers.coordination.breakers import OpenBreakers
from workers.coordination.cancellation import TakenBack
from workers.coordination.heartbeat import BestCases, Pulse
from workers.coordination.models import Models
from workers.coordination.peers import Peers
from workers.coordination.queue_withdrawal import Aside
from workers.coordination.status_responder import Guide
from workers.execution.executor import Answerer
from workers.execution.payloads import Bodies
from workers.execution.result import PRICES, Place
from workers.protocol.base import Backend
from workers.reporting.reporter import CONFIRM_PATIENCE, Reporter
from workers.settings import PoolSettings

ENVELOPE: Final = 1024 * 1024
"""Bytes that a request's history may add to it on its way back."""
ROOM: Final = 1 << 30
"""Publishing never waits for room, or a stop would wait with it; the tasks at work bound what is out."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds: every report was confirmed before its task ended, so that only signals may be under way."""


class PoolStep(bootsteps.StartStopStep):
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
            name = backend_of(worker.app.amqp.queues.consume_from)
            refuse_namesake(worker.app, worker.hostname)
            self._settings = load(PoolSettings, self.environ)
            self._models = Models(read_catalogue(self._settings.models_dir))
            self._store = Store(self._settings.store) if self._settings.store else None
            self._backend: Backend = make_backend(name, self.environ)
        except StraightLineError as error:
            raise SystemExit(f"workers: {error}") from error

    def start(self, worker: Any) -> None:
        """Make the pool ready."""
        self._pulse: Pulse | None = None
        # kombu would decompress before any size is checked; nothing of ours is compressed.
        compression._decoders.clear()  # noqa: SLF001 - there is no public way
        answer_questions_alone()
        read_sturdily()
        # Of a lost connection it writes ten lines, and the publisher one.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        backend, settings, node = self._backend, self._settings, worker.hostname
        self._stopping = threading.Event()
        best_cases = BestCases()
        self._publisher = Publisher(
            settings.broker_url,
            name=node,
            confirm_timeout=CONFIRM_PATIENCE,
            window=ROOM,
            window_bytes=ROOM,
            max_body=MAX_BODY + ENVELOPE,
        )
        place = Place(backend=backend.name, worker=node, price=PRICES[backend.name])
        taken_back = TakenBack(time.time)
        breakers = OpenBreakers(backend.name, time.time)
        self._deployments = Deployments(settings.broker_url, name=f"{node} deployed", on_change=self._learn)
        answerer = Answerer(
            backend,
            self._models.find,
            Bodies(self._store),
            time.time,
            taken_back=taken_back,
            breakers=breakers,
            informed=self._deployments.informed,
        )
        reporter = Reporter(self._publisher, place, self._stopping, time.time)
        taken_back.when_in_work(reporter.end_early)
        self._cancellations = Cancellations(
            settings.broker_url, name=f"{node} cancelled", on_id=taken_back.cancel
        )
        self._cancellations.start()
        self._models.when_changed(backend.learn)
        self._deployments.start()
        peers = Peers(backend.name, node, time.time)
        aside = Aside(backend.health, peers, lambda wanted: worker.consumer.attend(wanted, aside.attending))
        self._signals = Inbox(
            settings.broker_url,
            name=f"{node} signals",
            queue=f"{BREAKERS_QUEUE_PREFIX}{secrets.token_hex(12)}",
            exchange=SIGNALS,
            key=BREAKER_KEY,
            on_message=lambda _, body: breakers.tell(body),
            also={
                HEARTBEAT_KEY: peers.tell,
                QUESTION_KEY: Guide(self._publisher, place, taken_back).tell,
            },
        )
        worker.app.tasks[PREDICT_TASK].serve(answerer, reporter, best_cases, aside, self._wait)
        self._pulse = pulse = Pulse(
            sender=self._publisher,
            backend=backend,
            worker=node,
            slots=settings.slots or worker.concurrency,
            active=_active,
            best_cases=best_cases,
            clock=time.time,
            on_health=aside.look,
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
            self._pulse.soon()

    def _say_goodbye(self) -> None:
        self._stopping.set()
        if self._pulse is not None:
            self._pulse.stop()

    def _wait(self) -> None:
        """Wait until it is known what was cancelled and what is deployed."""
        self._cancellations.wait()
        self._deployments.wait()

    def _close(self) -> None:
        self._publisher.close(CLOSE_TIMEOUT)
        self._cancellations.close(CLOSE_TIMEOUT)
        self._deployments.close(CLOSE_TIMEOUT)
        self._signals.close(CLOSE_TIMEOUT)
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
