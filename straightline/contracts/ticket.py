"""Tickets: requests inside the system, with their placement and attempts."""

import msgspec

from straightline.names import Backend


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was placed where it was.

    Attributes:
        policy: name of the policy.
        rule: number of the deciding branch, 1..5 in `empirical`.
        f_t: requests per second of this model over the window, at the time of the request.
        F: threshold of `f_t`.
        r_d: bytes of the input data.
        D: threshold of `r_d`.
        s_f: whether a local server was available.
        s_d: whether a GPU container was available.
        refused: why each other backend was not a candidate.
        probe: whether it tested a failing backend for recovery.
    """

    policy: str
    rule: int
    f_t: float
    F: float
    r_d: int
    D: int
    s_f: bool
    s_d: bool
    refused: dict[str, str] = {}
    probe: bool = False


class Attempt(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One try of a request on one backend.

    Attributes:
        number: 1 for the first attempt.
        backend: where it was tried.
        succeeded: whether it returned the result.
        worker: node name of the Celery worker.
        reason: why it was placed there.
        placed_at, started_at, finished_at: seconds since the epoch.
        wait: seconds between placement and start, in the queue.
        service: seconds in the backend, cold start included.
        cold_start: seconds of `service` spent on starting the backend; None if it was warm.
        error_class: `unreachable`, `throttled`, `timed_out`, `crashed`, `out_of_memory`, `bad_protocol`,
            `cold_start_timed_out`, `breaker_open` and `not_informed` (not called), `model_error`, ...; None
            if it succeeded.
        error: the error, for people.
    """

    number: int
    backend: Backend
    succeeded: bool
    placed_at: float
    started_at: float
    finished_at: float
    worker: str | None = None
    reason: Reason | None = None
    wait: float = 0.0
    service: float = 0.0
    cold_start: float | None = None
    error_class: str | None = None
    error: str | None = None


class ReplyAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Address of a result: routing key on `straightline.replies`, and AMQP correlation id."""

    to: str
    correlation_id: str


class Ticket(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request with its history: the argument of the placement task, and the message in delay queues.

    Attributes:
        request: the producer's message body (JSON), unchanged and validated.
        digest: digest of the request's content.
        submitted_at: the producer's time, clamped to the scheduler's clock; seconds since the epoch.
        received_at: when the scheduler first received it; seconds since the epoch.
        deadline: when it expires; seconds since the epoch.
        r_d: bytes of the input data.
        attempts: the attempts so far.
        excluded: backends that must not be tried again.
        reply: address of the result.
        held_since: since when no backend could take it; None if it is not held.
        version: version of the model as resolved by the scheduler; None before placement.
        backend, reason, placed_at: the placement; None before it.
        trace, trace_state: W3C `traceparent` and `tracestate` of the producer.
    """

    request: msgspec.Raw
    digest: str
    submitted_at: float
    received_at: float
    deadline: float
    r_d: int
    attempts: list[Attempt] = []
    excluded: list[Backend] = []
    reply: ReplyAddress | None = None
    held_since: float | None = None
    version: str | None = None
    backend: Backend | None = None
    reason: Reason | None = None
    placed_at: float | None = None
    trace: str | None = None
    trace_state: str | None = None


class FailedAttempt(msgspec.Struct, kw_only=True):
    """A backend fault: the ticket as placed, and the failed attempt."""

    ticket: Ticket
    attempt: Attempt


class FailedAttempts(msgspec.Struct, kw_only=True):
    """The message on `straightline.outcomes` with key `attempt`: requests to place again."""

    failed: list[FailedAttempt]
