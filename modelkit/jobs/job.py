"""Jobs, their results and the interface of a runtime."""

from pathlib import Path
from typing import Literal, Protocol

import msgspec

from straightline.contracts.model import Step
from straightline.errors import StraightLineError

JobStatus = Literal["finished", "failed", "exited", "killed", "out_of_memory", "timed_out"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a project's entry point.

    Attributes:
        kind: `train` or `validate`.
        title: name for messages.
        step: the entry point and its limits.
        project: directory of the project, read-only.
        output: directory that the entry point writes to.
        inputs: directory with the unpacked `wheels` of the step; None if it has none.
        bundle: directory of the bundle to validate; None for a training.
    """

    kind: Literal["train", "validate"]
    title: str
    step: Step
    project: Path
    output: Path
    inputs: Path | None = None
    bundle: Path | None = None

    @property
    def memory_bytes(self) -> int | None:
        """Memory limit in bytes; None for no limit."""
        return None if self.step.memory is None else self.step.memory * 1024 * 1024


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a job.

    Attributes:
        status: `finished`, or the entry point `failed` (raised), `exited`, was `killed` by a signal, ran
            `out_of_memory`, or `timed_out`.
        code: exit code, for `exited`.
        signal: name of the signal, for `killed`.
        message: the exception of the entry point, if it raised one.
        value: the value that it returned, decoded from JSON.
        seconds: duration.
    """

    status: JobStatus
    code: int = 0
    signal: str | None = None
    message: str = ""
    value: object = None
    seconds: float = 0.0


class Listener(Protocol):
    """Receives the output of a running job."""

    def line(self, text: str) -> None:
        """Receive a line of output."""

    def progress(self, done: float, total: float, text: str) -> None:
        """Receive a progress report: `done` of `total`."""


class Runtime(Protocol):
    """Runs jobs."""

    @property
    def name(self) -> str:
        """Name of the runtime: `docker` or `local`."""

    def run(self, job: Job, listener: Listener) -> JobResult:
        """Run a job and return its result.

        Raises:
            JobRefused: the job could not be started.
        """


class JobRefused(StraightLineError):  # noqa: N818 - it reads as what happened
    """The job could not be started: the engine does not answer, has no such image, or refuses the limits."""


class JobFailed(StraightLineError):  # noqa: N818
    """The job did not finish; the message has the cause and the remedy.

    Attributes:
        result: the result of the job.
    """

    def __init__(self, message: str, result: JobResult) -> None:
        super().__init__(message)
        self.result = result


def require_finished(job: Job, result: JobResult) -> None:
    """Check that a job finished.

    Raises:
        JobFailed: it did not.
    """
    if result.status != "finished":
        raise JobFailed(f"{job.title} failed: {_describe(job, result)}", result)


def _describe(job: Job, result: JobResult) -> str:
    section, step = f"[{job.kind}]", job.step
    match result.status:
        case "failed":
            return f"{step.entry} raised {result.message}. See the traceback in the log"
        case "exited":
            return f"{step.entry} ended with exit code {result.code} before it returned ({result.message})"
        case "killed":
            return f"the process of {step.entry} crashed ({result.signal}). See the end of the log"
        case "out_of_memory":
            limit = f"its limit is {step.memory} MiB" if step.memory else "all of the machine's memory"
            return f"{step.entry} ran out of memory ({limit}). Raise memory in {section}, or use less"
        case _:
            return f"{step.entry} exceeded {step.timeout:g} s. Raise timeout in {section}, or do less"
