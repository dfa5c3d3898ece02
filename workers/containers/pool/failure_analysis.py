"""Analysis of a failed call: its real cause, and whether the server is lost."""

import time
from typing import Final

import msgspec

from workers.containers.pool.diagnosis import exit_fault
from workers.containers.pool.driver import Exit, Server
from workers.containers.pool.warm_server import WarmServer
from workers.protocol.errors import BackendFault

_EXIT_NOTICE_TIMEOUT_S: Final = 0.5
"""An engine notices an exit within this time; connections break earlier."""
_POLL_INTERVAL_S: Final = 0.05


class FailureAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """The cause of a failed call.

    Attributes:
        fault: what went wrong.
        server_lost: whether the server will not answer any more.
        not_reached: whether the server had exited before the request reached it.
    """

    fault: BackendFault
    server_lost: bool = False
    not_reached: bool = False


def classify(warm: WarmServer, fault: BackendFault, called_at: float, *, full_time: bool) -> FailureAnalysis:
    """Inspect the server after a failed call.

    Args:
        warm: the server.
        fault: the caller's fault.
        called_at: when the call began, seconds since the epoch.
        full_time: whether the call had the model's whole time limit.

    Raises:
        BackendFault: `unreachable`, if the engine does not answer.
    """
    if fault.error_class == "timed_out":
        # A busy server still answers a readiness check; one that does not hangs.
        return FailureAnalysis(fault=fault, server_lost=full_time and not warm.client.ready().ok)
    if fault.error_class not in ("unreachable", "crashed"):
        return FailureAnalysis(fault=fault)
    server = warm.server
    ended = _await_exit(server)
    if ended is not None:
        return FailureAnalysis(
            fault=exit_fault(server.title, ended),
            server_lost=True,
            not_reached=fault.error_class == "unreachable",
        )
    if server.memory_ran_out(called_at):
        return FailureAnalysis(
            fault=BackendFault(
                f"a process of {server.title} was killed: the container exceeded its memory limit. raise "
                "STRAIGHTLINE_CONTAINER_MEMORY",
                error_class="out_of_memory",
            )
        )
    return FailureAnalysis(fault=fault, server_lost=fault.error_class == "unreachable")


def _await_exit(server: Server) -> Exit | None:
    """Return how the server exited; None if the engine does not notice an exit in time."""
    deadline = time.monotonic() + _EXIT_NOTICE_TIMEOUT_S
    while True:
        ended = server.exit()
        if ended is not None or time.monotonic() >= deadline:
            return ended
        time.sleep(_POLL_INTERVAL_S)
