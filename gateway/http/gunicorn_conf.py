"""Gunicorn's settings for the gateway: one process, and a thread for each request that is waited for.

Variables: STRAIGHTLINE_GATEWAY_BIND, _THREADS, _GRACE (seconds that running requests get on SIGTERM).
"""

import logging
import os
from pathlib import Path
from typing import Any

from straightline import logs

bind = os.environ.get("STRAIGHTLINE_GATEWAY_BIND", "127.0.0.1:8000")
worker_class = "gateway.http.lingering.LingeringWorker"
workers = int(os.environ.get("STRAIGHTLINE_GATEWAY_WORKERS", "1"))
threads = int(os.environ.get("STRAIGHTLINE_GATEWAY_THREADS", "128"))
graceful_timeout = int(os.environ.get("STRAIGHTLINE_GATEWAY_GRACE", "30"))
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
