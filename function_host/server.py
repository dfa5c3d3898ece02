"""The function host under gunicorn, with one worker process, which owns the instances."""

import threading
from pathlib import Path
from typing import Any, Final

from flask import Flask
from gunicorn.app.base import BaseApplication

from function_host.hosting.event_queue import EventQueue
from function_host.hosting.host import Host, Limits
from function_host.http import api
from function_host.settings import Settings
from straightline.support import logs

INSTANCE_SHUTDOWN_S: Final = 10
THREAD_START_TIMEOUT_S: Final = 30


class Server(BaseApplication):
    """Runs until SIGTERM, then finishes running invocations and ends all instances."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._host: Host | None = None
        self._events: EventQueue | None = None
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings."""
        settings: dict[str, Any] = {
            "bind": f"{self._settings.host}:{self._settings.port}",
            "worker_class": "gthread",
            "workers": 1,
            # More than there are instances, so that excess invocations are throttled at once instead of
            # waiting.
            "threads": self._settings.concurrency + 24,
            "graceful_timeout": self._settings.grace + INSTANCE_SHUTDOWN_S,
            "timeout": 60,
            "keepalive": 75,
            "control_socket_disable": True,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            "on_starting": _take_over_log,
            "post_worker_init": _start_threads,
            "worker_exit": self._exit,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Create the host in the worker process, which owns its threads and children."""
        # The worker stops waiting before the arbiter kills it, so that it can end its instances.
        self.cfg.set("graceful_timeout", self._settings.grace)
        limits = Limits(
            per_function=self._settings.function_concurrency,
            total=self._settings.concurrency,
            idle=self._settings.idle,
            init=self._settings.init_limit,
        )
        self._host = Host(Path(self._settings.packages), limits)
        self._events = EventQueue(self._host)
        return api.build(self._host, self._events, deploy=self._settings.deploy)

    def _exit(self, _arbiter: Any, _worker: Any) -> None:
        if self._events is not None:
            self._events.close()
        if self._host is not None:
            self._host.close()


def _take_over_log(_arbiter: Any) -> None:
    logs.take_over("gunicorn.error")


def _start_threads(worker: Any) -> None:
    """Start all threads of the worker now, so that no invocation has to wait for a thread to start."""
    all_started = threading.Barrier(worker.cfg.threads)
    for _ in range(worker.cfg.threads):
        worker.tpool.submit(all_started.wait, THREAD_START_TIMEOUT_S)
