"""Gunicorn's settings: `gunicorn -c python:model_server.gunicorn_conf 'model_server.app:create()'`.

They come from `model_server.settings`. An invalid setting ends the process with a message.
"""

import os
from pathlib import Path
from typing import Any

from model_server.settings import load_checked
from straightline.support import logs

_settings = load_checked(os.environ)
bind = _settings.serve_bind
worker_class = "gthread"
workers = _settings.serve_workers
# Two more than there are slots, so that health checks are answered while all slots are busy.
threads = _settings.serve_threads + 2
graceful_timeout = _settings.serve_grace
# Heartbeat of the worker's main loop; a long prediction does not exceed it.
timeout = 60
keepalive = 75
# The disk may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - shared memory, no secrets
control_socket_disable = True  # gunicorn would write it to the home directory
accesslog = None
errorlog = "-"
loglevel = "warning"


def on_starting(_arbiter: Any) -> None:
    """Set up the log, which gunicorn and its workers share."""
    logs.set_up("model-server")
    logs.take_over("gunicorn.error")
