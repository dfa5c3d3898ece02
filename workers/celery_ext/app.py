"""The Celery application of the pools."""

from collections.abc import Mapping
from typing import Any

from celery import Celery, signals

from broker_config.celery_settings import celery_settings
from straightline.settings import load
from straightline.support import logs
from straightline.support.logs import LogSettings
from workers.celery_ext.bootstep import PoolBootstep
from workers.celery_ext.predict import Predict
from workers.celery_ext.settings import AppSettings


def set_up_log(**_: Any) -> None:
    """Set up the log of a pool, in place of Celery's."""
    logs.set_up("worker")
    # It logs a line for each task at INFO; the recorder logs each request.
    logs.quiet("celery.app.trace")


def create(environ: Mapping[str, str]) -> Celery:
    """Return the application; it opens no connection before a worker starts.

    Raises:
        ConfigurationError: STRAIGHTLINE_BROKER_URL is missing, or a setting of the log is invalid.
    """
    load(LogSettings, environ)
    app = Celery("straightline", set_as_current=True)
    app.conf.update(celery_settings(load(AppSettings, environ).broker_url))
    app.conf.worker_consumer = "workers.celery_ext.consumer:PoolConsumer"
    # A receiver of this signal keeps Celery from configuring a log of its own.
    signals.setup_logging.connect(set_up_log, weak=False)
    app.register_task(Predict())
    app.steps["worker"].add(type("ConfiguredPoolBootstep", (PoolBootstep,), {"environ": environ}))
    return app
