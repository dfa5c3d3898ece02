"""The Celery application of the pools."""

from collections.abc import Mapping

from celery import Celery

from broker_config.celery_settings import celery_settings
from straightline.settings import load
from workers.celery_ext.bootstep import PoolBootstep
from workers.celery_ext.predict import Predict
from workers.celery_ext.settings import AppSettings


def create(environ: Mapping[str, str]) -> Celery:
    """Return the application; it opens no connection before a worker starts.

    Raises:
        ConfigurationError: STRAIGHTLINE_BROKER_URL is missing.
    """
    app = Celery("straightline", set_as_current=True)
    app.conf.update(celery_settings(load(AppSettings, environ).broker_url))
    app.conf.worker_consumer = "workers.celery_ext.consumer:PoolConsumer"
    app.register_task(Predict())
    app.steps["worker"].add(type("ConfiguredPoolBootstep", (PoolBootstep,), {"environ": environ}))
    return app
