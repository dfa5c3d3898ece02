"""Gunicorn's settings for the gateway: one process, and a thread for each request that is waited for.

What may be set is in `gateway.http.settings`; `gateway.http.preflight` looks at it before.
"""

import logging
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
# Heartbeats stay off the disk, which may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - shared memory, no secrets
control_socket_disable = True  # it would be written to the home directory
accesslog = None
errorlog = "-"
loglevel = "warning"


def post_worker_init(_worker: Any) -> None:
    """Have what the gateway says carry its time and its place, as the other processes' logs do."""
    logs.set_up(logging.WARNING)
