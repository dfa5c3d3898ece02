"""The lines of a batch job in flight, and the counts of a run."""

import msgspec

from straightline.batch.job_store import LinePosition


class InFlightLine(msgspec.Struct):
    """A line whose request has no outcome yet.

    Attributes:
        position: of the line in the input.
        custom_id: the line's `custom_id`.
        losses: number of lost result connections when it was sent.
        resend_at: monotonic time of the next submission; infinite until the broker has confirmed the last
            one.
        timeout_s: seconds from confirm to the next submission.
    """

    position: LinePosition
    custom_id: str | None
    losses: int
    resend_at: float
    timeout_s: float


class RunCounts(msgspec.Struct):
    """Counts of the lines of one run.

    Attributes:
        lines, bytes: finished lines and their bytes.
        succeeded: lines with a result.
        failed: lines whose request ended without a result.
        refused: lines that are not valid requests, or too large to be sent.
        in_flight: lines without an outcome now.
        trouble: why the job makes no progress, for people; None while it does.
    """

    lines: int = 0
    bytes: int = 0
    succeeded: int = 0
    failed: int = 0
    refused: int = 0
    in_flight: int = 0
    trouble: str | None = None
