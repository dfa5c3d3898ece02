"""Faults that explain why a server exited or did not become ready, with the end of its log."""

from typing import Final

from workers.containers.pool.driver import Exit, Server
from workers.protocol.errors import BackendFault

MAX_LOG_LINES: Final = 15
MAX_LOG_CHARS: Final = 1500


def exit_fault(title: str, ended: Exit) -> BackendFault:
    """Return the fault of a server that exited: `out_of_memory` or `crashed`."""
    if ended.out_of_memory:
        return BackendFault(
            f"{title} was killed: it exceeded its memory limit. raise "
            f"STRAIGHTLINE_CONTAINER_MEMORY{_log_excerpt(ended.last_lines)}",
            error_class="out_of_memory",
        )
    return BackendFault(
        f"{title} ended with exit code {ended.code}{_log_excerpt(ended.last_lines)}", error_class="crashed"
    )


def readiness_timeout(server: Server, timeout: float) -> BackendFault:
    """Return the fault of a server that runs but did not become ready in time."""
    return BackendFault(
        f"{server.title} was not ready after {timeout:g} s (STRAIGHTLINE_CONTAINER_START)"
        f"{_log_excerpt(server.last_lines())}",
        error_class="cold_start_timed_out",
    )


def excerpt(log: str) -> str:
    """Return the end of a log, short enough to travel with an outcome."""
    return "\n".join(log.strip().splitlines()[-MAX_LOG_LINES:])[-MAX_LOG_CHARS:]


def _log_excerpt(log: str) -> str:
    lines = excerpt(log)
    return f"; its log ends:\n{lines}" if lines else "; its log is empty"
