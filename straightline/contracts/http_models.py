"""Responses of the HTTP gateway about requests, models, backends, failures and batch jobs.

The gateway encodes them, the command line decodes them. An error is a `Problem` (RFC 9457).
"""

import msgspec

from straightline.contracts.model import TensorSpec
from straightline.contracts.ticket import Attempt, Reason
from straightline.names import Backend, BatchState, RequestClass, Stage, State


class RequestStatus(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """The status of a request: the response of `GET` and `DELETE /v1/requests/{id}`.

    Attributes:
        id: the request's id.
        state: current or final state.
        model, version, class_, batch_id: as in the request; `version` as resolved by the scheduler.
        backend: the current or last backend; None if it was never placed.
        worker: node name of the Celery worker, while it runs.
        attempts: placements tried, including the current one.
        held_reason: why no backend can take it now; None if it is not held.
        note: why this status may be out of date.
        error_class, error: as in its outcome.
        has_result: whether `GET /v1/requests/{id}/result` returns the model's answer.
        cancelling: whether a cancellation was requested and the request has not ended yet.
        submitted_at, received_at, placed_at, finished_at, deadline: seconds since the epoch.
        held_since: seconds since the epoch, while it is held.
        started_at: seconds since the epoch when the worker started it, while it runs.
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
    """One placement of a request and its result.

    Attributes:
        number: 1 for the first placement.
        backend: where it was placed.
        reason: why it was placed there; None if that is no longer known.
        succeeded: whether it returned the result; None while it is in progress, and where the request ended
            before.
        worker: node name of the Celery worker.
        placed_at, started_at, finished_at: seconds since the epoch.
        wait: seconds between placement and start.
        service: seconds in the backend, cold start included.
        cold_start: seconds of `service` spent on starting the backend; None if it was warm.
        error_class, error: why it failed.
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
    """The placements of a request, with reasons: the response of `GET /v1/placements/{id}`.

    Attributes:
        id: the request's id.
        state: current or final state.
        model, version, class_: as in the request; `version` as resolved by the scheduler.
        steps: the known placements in order; empty if it was rejected, or is held before the first one.
        held_reason: why no backend can take it now; None if it is not held.
        error_class, error: as in its outcome.
        submitted_at, finished_at: seconds since the epoch.
        deadline: seconds since the epoch; None if it has ended.
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
    """A deployed version of a model.

    Attributes:
        name: the model's name.
        version: the version's name.
        default: whether requests that pin no version get this one.
        share: percent of those requests that this canary takes; None if it is no canary.
        inputs, outputs: its tensors.
        backends: where it may run.
        max_payload: maximum size of `data` in bytes by backend; absent means no limit.
        timeout: maximum duration of one call, seconds.
        digest: digest of its bundle.
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
    """The response of `GET /v1/models`: every version of every model, sorted by name and version."""

    models: list[ModelEntry]


class WorkerEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pool on a host, as of its last heartbeat.

    Attributes:
        worker: node name of the Celery worker.
        slots: maximum number of concurrent requests.
        active: requests it has now.
        healthy: whether it can answer requests.
        reason: why it is not healthy, or a note, for people.
        models: names of the models deployed there; None if it takes any.
        heard: seconds since the heartbeat.
    """

    worker: str
    slots: int
    active: int
    healthy: bool
    reason: str | None = None
    models: list[str] | None = None
    heard: float = 0.0


class BackendEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A backend, as its pools report it.

    Attributes:
        backend: its name.
        healthy: whether at least one of its workers is healthy.
        slots: sum over its healthy workers.
        active: requests that its healthy workers have now.
        workers: all workers with a heartbeat in the last minute, sorted by name.
    """

    backend: Backend
    healthy: bool
    slots: int
    active: int
    workers: list[WorkerEntry]


class BackendList(msgspec.Struct, kw_only=True):
    """The response of `GET /v1/backends`: every backend, with or without workers."""

    backends: list[BackendEntry]


class FailureRate(msgspec.Struct, frozen=True, kw_only=True):
    """Failure rates of a backend or model in a window.

    Attributes:
        name: the backend or model; None for outcomes that never reached one.
        attempts: placements tried.
        attempts_failed: placements without a result.
        attempt_failure_rate: their share, 0..1; None without attempts.
        outcomes: succeeded, failed and expired outcomes; rejected and cancelled ones do not count.
        outcomes_failed: failed and expired outcomes.
        failure_rate: their share, 0..1; None without outcomes.
        rejected: rejected outcomes.
        cold_starts: attempts that waited for the start of a container or function instance.
        cold_start: their mean wait in seconds; None without cold starts.
        errors: number of attempts, or of outcomes without an attempt, by error class.
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
    """The response of `GET /v1/failures`: rates over `since` <= finished < `until`, worst first.

    Attributes:
        since, until: seconds since the epoch.
        by_backend, by_model: the rates.
        by_version: rates by model and version, for models with requests for several versions.
    """

    since: float
    until: float
    by_backend: list[FailureRate]
    by_model: list[FailureRate]
    by_version: list[FailureRate] = []


class BatchStatus(msgspec.Struct, kw_only=True):
    """The status of a batch job: the response of `POST`, `GET` and `DELETE /v1/batches/{id}`.

    Attributes:
        id: the job's id, and the `batch_id` of its requests.
        state: `waiting`, `running`, or final: `done`, `cancelled`, or `failed` if it could not run.
        succeeded: lines with a result.
        failed: lines whose request ended without a result.
        refused: lines that are not valid requests.
        states: number of ended requests by state.
        lines: number of non-empty lines; None until all were read.
        read: number of the last line read.
        size, done: bytes of the input, and bytes before the first unfinished line.
        cancelling: whether a cancellation was requested and the job has not ended yet.
        error: why it could not run.
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
    """The response of `GET /v1/batches`: the jobs of the caller's key, newest first.

    Attributes:
        batches: one page of jobs.
        next: the `before` parameter of the next page; None on the last page.
    """

    batches: list[BatchStatus]
    next: str | None = None


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An error response: problem details of RFC 9457, `application/problem+json`.

    Attributes:
        type: kind of problem, as a relative or absolute URI.
        title: the same for people.
        status: the HTTP status.
        detail: what is wrong in this case, and what to do.
        instance: the resource concerned.
        request_id: the request concerned.
        state: of that request, if it has not ended, or ended without a result.
        error_class: as in its outcome.
        retry_after: seconds to wait before the next try.
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
    """Return an attempt as a placement step."""
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
