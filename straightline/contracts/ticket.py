"""A request on its way: what the scheduler decided, and what was tried so far."""

import msgspec

from straightline.names import Backend


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was placed where it was.

    Attributes:
        policy: the policy's name.
        rule: which branch decided, 1..5 in `empirical`.
        f_t: requests per second of this model over the window, at the time of the request.
        F: the threshold on it.
        r_d: bytes of the input data.
        D: the threshold on it.
        s_f: whether a local server was available.
        s_d: whether a GPU container was available.
        refused: for each backend that was no candidate, why.
        probe: whether it went to a backend that was failing, to see whether it has recovered.
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
    """One try on one backend.

    Attributes:
        number: 1 for the first.
        backend: where.
        succeeded: whether it brought the answer.
        worker: the Celery worker's node name.
        reason: why it was placed there.
        placed_at, started_at, finished_at: seconds since the epoch.
        wait: seconds between placement and start (the queue).
        service: seconds in the backend, cold start included.
        cold_start: seconds of `service` that went into starting the backend; None where it was warm.
        error_class: `unreachable`, `throttled`, `timed_out`, `crashed`, `out_of_memory`, `bad_protocol`,
            `cold_start_timed_out`, `breaker_open` and `not_informed` (not asked), `model_error`, ...; None
            when it succeeded.
        error: the sentence for people.
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
    """Where a result is pushed: routing key on `straightline.replies`, and the AMQP correlation id."""

    to: str
    correlation_id: str


class Ticket(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request with its history. It is the argument of the placement task, and what waits in delay queues.

    Attributes:
        request: the producer's message body as it came (JSON), already validated.
        digest: of the request's content.
        submitted_at: the producer's time, clamped to the scheduler's clock.
        received_at: when the scheduler first had it.
        deadline: when it expires.
        r_d: bytes of the input data.
        attempts: what was tried so far.
        excluded: backends not to be tried again.
        reply: where the result is pushed.
        held_since: since when no backend could take it; None where it is not held.
        version: the version of the model that answers, settled by the scheduler; None before it is placed.
        backend, reason, placed_at: the placement; None before it is placed.
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
    """A backend fault: the ticket as it was placed, and the attempt that failed."""

    ticket: Ticket
    attempt: Attempt


class FailedAttempts(msgspec.Struct, kw_only=True):
    """The message on `straightline.outcomes` with key `attempt`: requests going back for placement."""

    failed: list[FailedAttempt]
