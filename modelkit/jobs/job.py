"""What a job is, and how one may end; pure."""

from pathlib import Path
from typing import Literal, Protocol

import msgspec

from straightline.contracts.model import Step
from straightline.errors import StraightLineError

JobStatus = Literal["finished", "failed", "exited", "killed", "out_of_memory", "timed_out"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An entry point of a project, to be run once.

    Attributes:
        kind: what the entry point is for.
        title: for people.
        step: the entry point and its limits.
        project: directory of the project; it is only read.
        output: directory that the entry point writes to.
        inputs: directory with what it reads beside the project; None for nothing.
        bundle: directory of the model to ask; None where there is none yet.
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
        """The limit of its memory; None for none."""
        return None if self.step.memory is None else self.step.memory * 1024 * 1024


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended.

    Attributes:
        status: `finished`, or the entry point `failed` (raised), `exited`, was `killed` by a signal, went
            `out_of_memory`, or `timed_out`.
        code: exit code, with `exited`.
        signal: its name, with `killed`.
        message: what the entry point raised, where it did.
        value: what it returned, as JSON gives it.
        seconds: how long it took.
    """

    status: JobStatus
    code: int = 0
    signal: str | None = None
    message: str = ""
    value: object = None
    seconds: float = 0.0


class Listener(Protocol):
    """Hears of a job while it runs."""

    def line(self, text: str) -> None:
        """Take a line that it wrote."""

    def progress(self, done: float, total: float, text: str) -> None:
        """Take how far it is."""


class Runtime(Protocol):
    """Where jobs run."""

    @property
    def name(self) -> str:
        """What people call it."""

    def run(self, job: Job, listener: Listener) -> JobResult:
        """Run a job and return how it ended.

        Raises:
            JobRefused: it could not be started.
        """


class JobRefused(StraightLineError):  # noqa: N818 - it reads as what happened
    """A job could not be started: the engine does not answer, has not the image, or refuses the limits."""


class JobFailed(StraightLineError):  # noqa: N818
    """A job was started and did not finish; the message says how it ended and what to change.

    Attributes:
        result: how it ended.
    """

    def __init__(self, message: str, result: JobResult) -> None:
        super().__init__(message)
        self.result = result


def require_finished(job: Job, result: JobResult) -> None:
    """Do nothing for a job that finished.

    Raises:
        JobFailed: it ended otherwise.
    """
    if result.status != "finished":
        raise JobFailed(f"{job.title}: {_describe(job, result)}", result)


def _describe(job: Job, result: JobResult) -> str:
    section, step = f"[{job.kind}]", job.step
    match result.status:
        case "failed":
            return f"{step.entry} raised {result.message}; its log above has the traceback"
        case "exited":
            return f"{step.entry} ended with exit code {result.code} before it returned ({result.message})"
        case "killed":
            return f"the process of {step.entry} crashed ({result.signal}); the end of its log may say where"
        case "out_of_memory":
            limit = f"its limit is {step.memory} MiB" if step.memory else "the machine has no more"
            return f"{step.entry} ran out of memory, {limit}: raise memory in {section}, or use less"
        case _:
            return f"{step.entry} was ended after {step.timeout:g} s: raise timeout in {section}, or do less"
