"""A call failed: what was it really, and what becomes of the server?"""

import time
from typing import Final

import msgspec

from workers.containers.pool.diagnosis import exit_fault
from workers.containers.pool.driver import Exit, Server
from workers.containers.pool.warm_server import WarmServer
from workers.protocol.errors import BackendFault

_EXIT_NOTICE_TIMEOUT_S: Final = 0.5
"""Seconds after which an engine has noticed that a server ended; connections break before that."""
_POLL_INTERVAL_S: Final = 0.05


class FailureAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """What is known after a look at the server.

    Attributes:
        fault: what went wrong.
        useless: whether the server will answer no more.
        unasked: whether the server had ended before the request reached it.
    """

    fault: BackendFault
    useless: bool = False
    unasked: bool = False


def classify(warm: WarmServer, fault: BackendFault, asked: float, *, full_time: bool) -> FailureAnalysis:
    """Look at the server after a call failed.

    Args:
        warm: the server.
        fault: what the caller met.
        asked: when the call began, seconds since the epoch.
        full_time: whether the call had all the time that the model may take.

    Raises:
        BackendFault: `unreachable`, where the engine does not answer.
    """
    if fault.error_class == "timed_out":
        # A server that also has no word for a look at its health hangs; a busy one has.
        return FailureAnalysis(fault=fault, useless=full_time and not warm.client.ready().ok)
    if fault.error_class not in ("unreachable", "crashed"):
        return FailureAnalysis(fault=fault)
    server = warm.server
    ended = _ended(server)
    if ended is not None:
        return FailureAnalysis(
            fault=exit_fault(server.title, ended), useless=True, unasked=fault.error_class == "unreachable"
        )
    if server.memory_ran_out(asked):
        return FailureAnalysis(
            fault=BackendFault(
                f"a process of {server.title} was killed because the container took more memory than it may "
                "have: raise STRAIGHTLINE_CONTAINER_MEMORY",
                error_class="out_of_memory",
            )
        )
    return FailureAnalysis(fault=fault, useless=fault.error_class == "unreachable")


def _ended(server: Server) -> Exit | None:
    deadline = time.monotonic() + _EXIT_NOTICE_TIMEOUT_S
    while True:
        ended = server.exit()
        if ended is not None or time.monotonic() >= deadline:
            return ended
        time.sleep(_POLL_INTERVAL_S)
