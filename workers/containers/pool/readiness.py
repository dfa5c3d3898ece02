"""The wait for a started server to become ready."""

import time
from threading import Event
from typing import Final

from workers.containers.pool.diagnosis import exit_fault, readiness_timeout
from workers.containers.pool.driver import Server
from workers.protocol.errors import BackendFault
from workers.protocol.v2_http import V2Client

_MIN_POLL_INTERVAL_S: Final = 0.02
_MAX_POLL_INTERVAL_S: Final = 0.25
_BACKOFF_FACTOR: Final = 1.5


def wait_until_ready(server: Server, client: V2Client, timeout: float, stopping: Event) -> None:
    """Poll `/v2/health/ready`, with backoff.

    Args:
        server: the server.
        client: connected to it.
        timeout: seconds to become ready.
        stopping: set when the server is no longer needed.

    Raises:
        BackendFault: `crashed` or `out_of_memory` if it exited, `cold_start_timed_out` if it runs and is not
            ready, `unreachable` if the engine does not answer or this worker stops.
    """
    deadline = time.monotonic() + timeout
    interval = _MIN_POLL_INTERVAL_S
    while not client.ready().ok:
        ended = server.exit()
        if ended is not None:
            raise exit_fault(server.title, ended)
        if time.monotonic() >= deadline:
            raise readiness_timeout(server, timeout)
        if stopping.wait(interval):
            raise BackendFault(
                f"did not wait for {server.title}: this worker stops", error_class="unreachable"
            )
        interval = min(interval * _BACKOFF_FACTOR, _MAX_POLL_INTERVAL_S)
