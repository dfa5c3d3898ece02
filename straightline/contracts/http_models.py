"""What the HTTP gateway answers to who asks about requests, models and failures; JSON.

The command line reads these, the gateway writes them. An error is a `Problem` (RFC 9457).
"""

import msgspec

from straightline.contracts.model import TensorSpec
from straightline.contracts.ticket import Attempt, Reason
from straightline.names import Backend, BatchState, RequestClass, Stage, State


class RequestStatus(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """Where a request is: the answer of `GET` and `DELETE /v1/requests/{id}`.

    Attributes:
        id: the request's id.
        state: how it ended, or how far it came.
        model, version, class_, batch_id: as in the request; `version` as settled by the scheduler.
        backend: which one has it, or answered or failed last, or had it when it ended; None where it was
            placed nowhere.
        worker: the Celery worker's node name, while it runs.
        attempts: placements that were tried or are under way.
        held_reason: why no backend has it now; None where it is not held.
        note: what else is to be known of this answer: why it may be old.
        error_class, error: what went wrong, as in its outcome.
        has_result: whether `GET /v1/requests/{id}/result` brings an answer of the model.
        cancelling: whether somebody asked to cancel it and it has not ended yet.
        submitted_at, received_at, placed_at, finished_at, deadline: seconds since the epoch.
        held_since: likewise, while it is held.
        started_at: likewise, while it runs: since when that worker has it in work.
        r_d: bytes of the input data.
        cost: estimated, in US dollars.
    """

    id: str
    state: Stage | State
    model: str | None = None
    version: str | None = None
    class_: RequestClass | None = None
    batch_id: str | None = None
    backend: Backend | None = None
    worker: str | None = None
    attempts: int = 0
    held_reason: str | None = None
    note: str | None = None
    error_class: str | None = None
    error: str | None = None
    has_result: bool = False
    cancelling: bool = False
    submitted_at: float | None = None
    received_at: float | None = None
    held_since: float | None = None
    placed_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    deadline: float | None = None
    r_d: int | None = None
    cost: float | None = None


class PlacementStep(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One placement of a request, and what came of it.

    Attributes:
        number: 1 for the first.
        backend: where.
        reason: why there; None where that is not known any more.
        succeeded: whether it brought the answer; None while it is under way, and where the request ended
            before anything came from there.
        worker: the Celery worker's node name.
        placed_at, started_at, finished_at: seconds since the epoch.
        wait: seconds between placement and start.
        service: seconds in the backend, cold start included.
        cold_start: seconds of `service` that went into starting the backend; None where it was warm.
        error_class, error: what went wrong.
    """

    number: int
    backend: Backend
    reason: Reason | None = None
    succeeded: bool | None = None
    worker: str | None = None
    placed_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    wait: float | None = None
    service: float | None = None
    cold_start: float | None = None
    error_class: str | None = None
    error: str | None = None


class PlacementHistory(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """Why a request was placed where it was: the answer of `GET /v1/placements/{id}`.

    Attributes:
        id: the request's id.
        state: how it ended, or how far it came.
        model, version, class_: which model answers, and of which class it is.
        steps: every placement that is known, the first one first; empty where it was refused or is held
            before any.
        held_reason: why no backend can take it now; None where it is not held.
        error_class, error: what went wrong, as in its outcome.
        submitted_at, finished_at: seconds since the epoch.
        deadline: likewise; None where it has ended.
    """

    id: str
    state: Stage | State
    model: str | None = None
    version: str | None = None
    class_: RequestClass | None = None
    steps: list[PlacementStep] = []
    held_reason: str | None = None
    error_class: str | None = None
    error: str | None = None
    submitted_at: float | None = None
    finished_at: float | None = None
    deadline: float | None = None


class ModelEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One version of a model, as it is deployed.

    Attributes:
        name: what requests call it.
        version: a word of the owner's.
        default: whether a request that pins no version gets this one.
        share: percent of those requests that a canary takes; None where it takes none.
        inputs, outputs: its tensors.
        backends: where it may run.
        max_payload: for a backend, the largest `data` in bytes that it takes; absent means no limit.
        timeout: seconds that one call may take.
        digest: of its bundle.
    """

    name: str
    version: str
    default: bool = False
    share: float | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    backends: tuple[Backend, ...] = ()
    max_payload: dict[Backend, int] = {}
    timeout: float | None = None
    digest: str | None = None


class ModelList(msgspec.Struct, kw_only=True):
    """The answer of `GET /v1/models`: every version of every model, by name and rising version."""

    models: list[ModelEntry]


class WorkerEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pool on a host, by its last heartbeat.

    Attributes:
        worker: the Celery worker's node name.
        slots: requests it can take at once.
        active: requests it has now.
        healthy: whether it can answer.
        reason: why not, for people; or what else is to be known of it.
        models: names of the models deployed there; None where it takes any.
        heard: seconds since that heartbeat.
    """

    worker: str
    slots: int
    active: int
    healthy: bool
    reason: str | None = None
    models: list[str] | None = None
    heard: float = 0.0


class BackendEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A backend as its pools report it.

    Attributes:
        backend: which one.
        healthy: whether one of its workers can answer.
        slots: of the healthy ones together.
        active: requests that these have now.
        workers: all that were heard of in the last minute, by name.
    """

    backend: Backend
    healthy: bool
    slots: int
    active: int
    workers: list[WorkerEntry]


class BackendList(msgspec.Struct, kw_only=True):
    """The answer of `GET /v1/backends`: every backend, whether anybody reports for it or not."""

    backends: list[BackendEntry]


class FailureRate(msgspec.Struct, frozen=True, kw_only=True):
    """How often a backend, or a model, failed in a window.

    Attributes:
        name: the backend or model; None stands for outcomes that never reached one.
        attempts: placements tried there.
        attempts_failed: those that brought no answer.
        attempt_failure_rate: their share, 0..1; None without attempts.
        outcomes: final outcomes that count: succeeded, failed and expired. A rejected request never was work,
            and a cancelled one was given up by its owner.
        outcomes_failed: those that failed or expired.
        failure_rate: their share, 0..1; None without outcomes.
        rejected: outcomes of requests that were refused.
        cold_starts: attempts that waited for a start of a container or function instance.
        cold_start: seconds that these waited on average; None without any.
        errors: how often each error class ended an attempt, or an outcome that had no attempt.
    """

    name: str | None
    attempts: int = 0
    attempts_failed: int = 0
    attempt_failure_rate: float | None = None
    outcomes: int = 0
    outcomes_failed: int = 0
    failure_rate: float | None = None
    rejected: int = 0
    cold_starts: int = 0
    cold_start: float | None = None
    errors: dict[str, int] = {}


class FailureReport(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /v1/failures`: rates over `since` <= finished < `until`, worst first.

    Attributes:
        since, until: seconds since the epoch.
        by_backend, by_model: the rates.
        by_version: those of the models of which several versions were asked, named by model and version.
    """

    since: float
    until: float
    by_backend: list[FailureRate]
    by_model: list[FailureRate]
    by_version: list[FailureRate] = []


class BatchStatus(msgspec.Struct, kw_only=True):
    """Where a batch job is: the answer of `POST`, `GET` and `DELETE /v1/batches/{id}`.

    Attributes:
        id: names it, and is the `batch_id` of its requests.
        state: `waiting`, `running`, or how it ended: `done`, `cancelled`, or `failed` where it could not be
            run.
        succeeded: lines with an answer.
        failed: lines of which the request ended otherwise.
        refused: lines that were no request.
        states: how many requests ended how.
        lines: with something in them; None until all were read.
        read: number of the last line that was read.
        size, done: bytes of the lines, and how many of them are behind the first one that is not done.
        cancelling: whether somebody asked to cancel it and it has not ended yet.
        error: why it could not be run.
        created_at, finished_at: seconds since the epoch.
    """

    id: str
    state: BatchState
    succeeded: int = 0
    failed: int = 0
    refused: int = 0
    states: dict[State, int] = {}
    lines: int | None = None
    read: int = 0
    size: int = 0
    done: int = 0
    cancelling: bool = False
    error: str | None = None
    created_at: float | None = None
    finished_at: float | None = None


class BatchList(msgspec.Struct, kw_only=True):
    """The answer of `GET /v1/batches`: the jobs of the caller's key, the newest first.

    Attributes:
        batches: some of them.
        next: what the next ones are asked for with, as `before`; None where there are no older ones.
    """

    batches: list[BatchStatus]
    next: str | None = None


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why something was refused: problem details of RFC 9457, `application/problem+json`.

    Attributes:
        type: names the kind of problem; a relative or absolute URI.
        title: the same for people.
        status: the HTTP status.
        detail: what is wrong in this case, and what mends it.
        instance: what it happened to.
        request_id: the request that it is about.
        state: of that request, where the problem is that it has not ended, or ended without a result.
        error_class: as in its outcome.
        retry_after: seconds after which it may be tried again.
    """

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    instance: str | None = None
    request_id: str | None = None
    state: Stage | State | None = None
    error_class: str | None = None
    retry_after: float | None = None


def step_of(attempt: Attempt) -> PlacementStep:
    """Return the placement that an attempt tells of."""
    return PlacementStep(
        number=attempt.number,
        backend=attempt.backend,
        reason=attempt.reason,
        succeeded=attempt.succeeded,
        worker=attempt.worker,
        placed_at=attempt.placed_at,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        wait=attempt.wait,
        service=attempt.service,
        cold_start=attempt.cold_start,
        error_class=attempt.error_class,
        error=attempt.error,
    )
