"""Start and stop of a pool, as a bootstep of Celery's worker."""

import os
import threading
from collections.abc import Mapping
from typing import Any

from celery import bootsteps
from celery.concurrency.thread import TaskPool
from kombu import compression
from kombu.common import ignore_errors

from straightline.errors import ConfigurationError, StraightLineError
from straightline.models.catalogue import read_catalogue
from straightline.settings import load
from straightline.storage.store import Store
from workers.backends.factory import backend_of_queues, make_backend
from workers.celery_ext.amqp_patches import install
from workers.celery_ext.node_name import ensure_unique_node_name
from workers.celery_ext.pool import Pool
from workers.celery_ext.remote_control import restrict_remote_control
from workers.celery_ext.settings import PoolSettings
from workers.coordination.models import ModelRegistryView
from workers.protocol.base import Backend


class PoolBootstep(bootsteps.StartStopStep):
    """Starts the pool before the first message is received, and closes it after the last.

    Attributes:
        environ: the environment with the settings; `create` sets it.
    """

    requires = ("celery.worker.components:Pool",)
    environ: Mapping[str, str] = os.environ

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        try:
            if worker.pool_cls is not TaskPool:
                raise ConfigurationError("the pool must run in threads: start it with -P threads")
            name = backend_of_queues(worker.app.amqp.queues.consume_from)
            ensure_unique_node_name(worker.app, worker.hostname)
            self._settings = load(PoolSettings, self.environ)
            self._models = ModelRegistryView(read_catalogue(self._settings.models_dir))
            self._store = Store(self._settings.store) if self._settings.store else None
            self._backend: Backend = make_backend(name, self.environ)
        except StraightLineError as error:
            raise SystemExit(f"workers: {error}") from error

    def start(self, worker: Any) -> None:
        """Start the pool."""
        # kombu would decompress before any size is checked; no message of the system is compressed.
        compression._decoders.clear()  # noqa: SLF001 - there is no public way
        restrict_remote_control()
        install()
        self._pool = Pool(self._backend, self._models, self._store, self._settings, worker)
        self._pool.start()

    def stop(self, worker: Any) -> None:
        """Announce the stop and wait for the running tasks; messages that have not started are requeued."""
        self._pool.announce_stop()
        _drain(worker)
        self._pool.close()

    def terminate(self, worker: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Announce the stop without waiting; running tasks are redelivered to another worker."""
        self._pool.announce_stop()
        self._pool.close()


def _drain(worker: Any) -> None:
    """Wait until no task runs; keep the broker's connection alive, on which they are acknowledged."""
    waiter = threading.Thread(target=worker.pool.executor.shutdown, kwargs={"cancel_futures": True})
    waiter.start()
    while waiter.is_alive():
        waiter.join(1.0)
        connection = worker.consumer.connection
        if connection is not None:
            ignore_errors(connection, connection.heartbeat_check)
