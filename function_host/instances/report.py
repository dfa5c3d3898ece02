"""Lambda's log lines around an invocation, and the log tail of a response."""

import math
from typing import Final

VERSION: Final = "$LATEST"
TAIL_BYTES: Final = 4096
"""Size of `X-Amz-Log-Result`."""


def start_line(request_id: str) -> str:
    """Return the line before an invocation's log."""
    return f"START RequestId: {request_id} Version: {VERSION}\n"


def end_lines(
    request_id: str,
    *,
    duration: float,
    memory: int,
    used: int,
    init: float | None = None,
    status: str | None = None,
) -> str:
    """Return the lines after an invocation's log.

    Args:
        request_id: id of the invocation.
        duration: seconds in the handler.
        memory: memory limit in MiB.
        used: peak resident size in MiB.
        init: seconds of the cold start; None for a warm instance.
        status: `timeout` or `error`; None if the runtime responded.
    """
    milliseconds = duration * 1000
    report = (
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms\t"
        f"Billed Duration: {math.ceil(milliseconds + (init or 0.0) * 1000)} ms\tMemory Size: {memory} MB\t"
        f"Max Memory Used: {used} MB"
    )
    if init is not None:
        report += f"\tInit Duration: {init * 1000:.2f} ms"
    if status is not None:
        report += f"\tStatus: {status}"
    return report + "\n"


def init_report_line(init: float, status: str, error_type: str | None = None) -> str:
    """Return the line of a failed (`error`) or slow (`timeout`) initialisation."""
    line = f"INIT_REPORT Init Duration: {init * 1000:.2f} ms\tPhase: init\tStatus: {status}"
    return f"{line}\tError Type: {error_type}\n" if error_type else f"{line}\n"


def log_tail(log: bytes) -> bytes:
    """Return the end of a log, for a response."""
    return log[-TAIL_BYTES:]
