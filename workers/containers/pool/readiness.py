"""Waiting until a started server answers, ends, or has had time enough."""

import time
from threading import Event
from typing import Final

from workers.containers.pool.diagnosis import exit_fault, readiness_timeout
from workers.containers.pool.driver import Server
from workers.protocol.errors import BackendFault
from workers.protocol.v2_http import V2Client

_MIN_POLL_INTERVAL_S: Final = 0.02
_MAX_POLL_INTERVAL_S: Final = 0.25
"""Seconds between two looks, growing: a server in Python takes at least some tenths to start."""


def wait_until_ready(server: Server, client: V2Client, patience: float, stopping: Event) -> None:
    """Poll `/v2/health/ready`.

    Args:
        server: which one.
        client: of its address.
        patience: seconds that it has.
        stopping: set when nobody needs it any more.

    Raises:
        BackendFault: `crashed` or `out_of_memory` where it ended, `cold_start_timed_out` where it lives and
            does not answer, `unreachable` where the engine is gone or this worker stops.
    """
    deadline = time.monotonic() + patience
    pause = _MIN_POLL_INTERVAL_S
    while not client.ready().ok:
        ended = server.exit()
        if ended is not None:
            raise exit_fault(server.title, ended)
        if time.monotonic() >= deadline:
            raise readiness_timeout(server, patience)
        if stopping.wait(pause):
            raise BackendFault(
                f"{server.title} was not awaited: this worker stops", error_class="unreachable"
            )
        pause = min(pause * 1.5, _MAX_POLL_INTERVAL_S)
