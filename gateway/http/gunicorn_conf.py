"""Gunicorn configuration: one process by default, and a thread for each waiting request.

Its settings are in `gateway.http.settings`.
"""

import os
from pathlib import Path
from typing import Any

from gateway.http.settings import ServerSettings
from straightline.settings import load
from straightline.support import logs

_settings = load(ServerSettings, os.environ)
bind = _settings.gateway_bind
worker_class = "gateway.http.keepalive_worker.KeepAliveWorker"
workers = _settings.gateway_workers
threads = _settings.gateway_threads
graceful_timeout = _settings.gateway_grace
timeout = 60
keepalive = 75
worker_connections = 2000
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
# Worker heartbeats stay off the disk, which may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - shared memory, no secrets
control_socket_disable = True  # gunicorn would create it in the home directory
accesslog = None
errorlog = "-"
loglevel = "warning"


def on_starting(_arbiter: Any) -> None:
    """Set up the log, which gunicorn and its workers share."""
    logs.set_up("gateway")
    logs.take_over("gunicorn.error")
