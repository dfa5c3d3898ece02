"""Plain Celery with a no-op task, the peer of StraightLine's own path."""

import os

from celery import Celery


def make_app(broker_url: str, backend: str) -> Celery:
    """Return an application with Celery's defaults except for broker, result backend and queue name."""
    app = Celery("peer", broker=broker_url, backend=backend)
    app.conf.task_default_queue = "peer"
    app.conf.broker_connection_retry_on_startup = True

    @app.task(name="peer.noop", shared=False)
    def noop(payload: dict[str, object]) -> list[int]:
        del payload
        return [0]

    return app


def __getattr__(name: str) -> Celery:
    """Make the application when `celery -A benchmarks.peers.celery_app:app` asks for it, not at import."""
    if name == "app":
        return make_app(os.environ["STRAIGHTLINE_BROKER_URL"], os.environ["PEER_BACKEND"])
    raise AttributeError(name)
