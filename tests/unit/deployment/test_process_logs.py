"""gunicorn and Celery write their lines in the form of ours."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
from celery.utils.log import get_task_logger
from gunicorn.config import Config
from gunicorn.glogging import Logger

from function_host import server as function_host
from straightline.support import logs
from workers.celery_ext.app import create

SetUp = Callable[[], io.StringIO]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetUp]:
    """Make this process look like one that has just started; return what it writes to stderr."""
    loggers = [
        logging.getLogger(name)
        for name in (None, *logs.PACKAGES, "pika", "gunicorn.error", "celery.app.trace")
    ]
    levels = [logger.level for logger in loggers]

    def run() -> io.StringIO:
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
        return stream

    yield run
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("component", ["gateway", "model-server", "function-host"])
def test_gunicorn_writes_through_the_process_s_log(
    component: str, bare: SetUp, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_MODELS_DIR", str(tmp_path))
    stream = bare()
    log = Logger(Config())
    if component == "gateway":
        from gateway.http import gunicorn_conf as gateway_conf  # noqa: PLC0415 - it reads the environment

        gateway_conf.on_starting(None)
    elif component == "model-server":
        from model_server import gunicorn_conf as server_conf  # noqa: PLC0415 - it reads the environment

        server_conf.on_starting(None)
    else:
        logs.set_up("function-host")
        function_host._take_over_log(None)
    log.warning("a worker took %d s", 60)
    line = json.loads(stream.getvalue())
    del line["ts"]
    assert line == {
        "level": "WARNING",
        "component": component,
        "event": "log",
        "logger": "gunicorn.error",
        "message": "a worker took 60 s",
    }


def test_celery_writes_through_the_process_s_log(bare: SetUp) -> None:
    stream = bare()
    app = create({"STRAIGHTLINE_BROKER_URL": "amqp://guest:guest@localhost/"})
    app.log.already_setup = type(app.log).already_setup = False
    app.log.setup(loglevel="WARNING", redirect_stdouts=False)
    logging.getLogger("celery.apps.worker").info("%s ready.", "local@host")
    logging.getLogger("celery.app.trace").info("a task that ended")
    get_task_logger("straightline.predict").warning("a task")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["component"], line["event"], line["message"]) for line in lines] == [
        ("worker", "log", "local@host ready."),
        ("worker", "log", "a task"),
    ]
