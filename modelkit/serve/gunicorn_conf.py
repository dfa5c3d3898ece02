"""Gunicorn's settings: `gunicorn -c python:modelkit.serve.gunicorn_conf 'modelkit.serve.app:create()'`.

Variables: STRAIGHTLINE_SERVE_BIND, _WORKERS, _THREADS, _GRACE (seconds that running requests get on SIGTERM).
"""

import os
from pathlib import Path

bind = os.environ.get("STRAIGHTLINE_SERVE_BIND", "127.0.0.1:8080")
worker_class = "gthread"
workers = int(os.environ.get("STRAIGHTLINE_SERVE_WORKERS", "1"))
# Two more than there are slots: a pool with all of them busy must still answer that it is healthy.
threads = int(os.environ.get("STRAIGHTLINE_SERVE_THREADS", "4")) + 2
graceful_timeout = int(os.environ.get("STRAIGHTLINE_SERVE_GRACE", "10"))
# The heartbeat of a worker's main loop, not of a request: a long prediction does not trip it.
timeout = 60
keepalive = 75
# Heartbeats stay off the disk, which may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - shared memory, no secrets
control_socket_disable = True  # it would be written to the home directory
accesslog = None
errorlog = "-"
loglevel = "warning"
