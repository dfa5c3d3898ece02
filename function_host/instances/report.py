"""The lines that Lambda writes around an invocation's log, and its end as an invoker gets it."""

import math
from typing import Final

VERSION: Final = "$LATEST"
TAIL_BYTES: Final = 4096
"""What `X-Amz-Log-Result` holds of the log: its end."""


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
        request_id: the invocation's.
        duration: seconds in the handler.
        memory: the limit in MiB.
        used: the highest resident size so far in MiB.
        init: seconds of a cold start; None where the instance was warm.
        status: `timeout` or `error`; None where the runtime answered.
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
    """Return the line about an initialisation that failed (`error`) or took too long (`timeout`)."""
    line = f"INIT_REPORT Init Duration: {init * 1000:.2f} ms\tPhase: init\tStatus: {status}"
    return f"{line}\tError Type: {error_type}\n" if error_type else f"{line}\n"


def log_tail(log: bytes) -> bytes:
    """Return the end of a log that travels with an answer."""
    return log[-TAIL_BYTES:]
