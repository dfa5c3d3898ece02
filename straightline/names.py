"""The words on the wire: backends, classes, states, exchanges, queues and message types.

They stand in the published package because producers in any language need them too.
"""

from typing import Final, Literal

Backend = Literal["serverless", "gpu-container", "local"]
BACKENDS: Final[tuple[Backend, ...]] = ("serverless", "gpu-container", "local")

RequestClass = Literal["interactive", "batch"]
State = Literal["succeeded", "failed", "expired", "cancelled", "rejected"]
"""How a request ended."""
Stage = Literal["accepted", "held", "placed", "running"]
"""How far a request came that has not ended."""
BatchState = Literal["waiting", "running", "done", "cancelled", "failed"]
"""How far a batch job is that came over HTTP, or how it ended."""

REQUESTS: Final = "straightline.requests"
"""Exchange that producers write to; the routing key is the request's class, or `cancel`."""
PLACEMENTS: Final = "straightline.placements"
"""Exchange that only the scheduler writes to; the routing key is the backend, or `cancelled`."""
OUTCOMES: Final = "straightline.outcomes"
"""Exchange for final outcomes (key `outcome`), recalls (`recall`), leases of what was placed (`placement`)
and failed attempts (`attempt`)."""
REPLIES: Final = "straightline.replies"
"""Exchange for results pushed to producers; the routing key is the request's `reply_to`. Who may bind a queue
of its own to it may bind it with any key, and keys are secret but for those of the doors."""
ADAPTER_REPLIES: Final = "straightline.doors"
"""Exchange for results that a door passes on: to callers with Celery, and to webhooks."""
SIGNALS: Final = "straightline.signals"
"""Exchange for what may be lost: pool heartbeats (key `heartbeat`), feedback on slots (`feedback`), how
breakers stand (`breaker`)."""
STATUS: Final = "straightline.status"
"""Exchange for status events (key `status`), from the scheduler and the pools."""
DELAYS: Final = "straightline.delays"
"""Exchange to the delay queues; the routing key is the delay in milliseconds."""
RETURNS: Final = "straightline.returns"
"""Exchange that delay queues dead-letter to: requests coming back for placement."""
REGISTRY: Final = "straightline.registry"
"""Exchange for what is deployed (key `deployed`), from who deploys and from the reconciler."""
DEAD: Final = "straightline.dead"
"""Exchange and queue of messages that could not be understood."""

INTERACTIVE_QUEUE: Final = "straightline.requests.interactive"
BATCH_QUEUE: Final = "straightline.requests.batch"
REQUEST_QUEUES: Final = (INTERACTIVE_QUEUE, BATCH_QUEUE)
"""What producers feed."""
CANCELS_QUEUE: Final = "straightline.requests.cancel"
"""What producers want to have cancelled (key `cancel`)."""
CANCELLED_STREAM: Final = "straightline.cancelled"
"""Stream of the ids that must not run any more; every pool and scheduler reads it from two days ago on."""
CANCELLED_KEY: Final = "cancelled"
CANCEL_KEY: Final = "cancel"
"""Routing key on `straightline.requests` of cancellations."""
OUTCOME_KEY: Final = "outcome"
"""Routing key on `straightline.outcomes` of final outcomes."""
ATTEMPT_KEY: Final = "attempt"
"""Routing key on `straightline.outcomes` of failed attempts."""
RECALL_KEY: Final = "recall"
"""Routing key on `straightline.outcomes` of recalls."""
LEASE_KEY: Final = "placement"
"""Routing key on `straightline.outcomes` of leases."""
FEEDBACK_KEY: Final = "feedback"
"""Routing key on `straightline.signals` of feedback from the pools."""
HEARTBEAT_KEY: Final = "heartbeat"
"""Routing key on `straightline.signals` of the pools' heartbeats."""
BREAKER_KEY: Final = "breaker"
"""Routing key on `straightline.signals` of how a breaker stands, from the scheduler."""
STATUS_STREAM: Final = "straightline.status.events"
"""Stream of the states of unfinished requests; every gateway follows it."""
STATUS_KEY: Final = "status"
"""Routing key on `straightline.status` of status events."""
MARK_KEY: Final = "mark"
"""Routing key on `straightline.signals` of a message that its own reader of the stream waits for: what was
appended before it has then been read."""
DEPLOYED_STREAM: Final = "straightline.deployed"
"""Stream of what is deployed, whole with each change; its entry of the highest revision stands."""
DEPLOYED_KEY: Final = "deployed"
DEPLOYED_MARK_KEY: Final = "deployed-mark"
"""As `MARK_KEY`, for readers of this stream."""
RETURNS_QUEUE: Final = "straightline.requests.returned"
ATTEMPTS_QUEUE: Final = "straightline.attempts"
OUTCOMES_QUEUE: Final = "straightline.outcomes"
DEAD_QUEUE: Final = "straightline.dead"
CELERY_QUEUE: Final = "straightline.requests.celery"
"""Tasks of Celery producers, which write to the same exchange with the key `celery`."""
CELERY_REPLY_KEY: Final = "straightline.celery"
"""The reply address of requests that were Celery tasks."""
CELERY_REPLIES_QUEUE: Final = "straightline.replies.celery"
"""Outcomes on their way to become Celery results."""
WEBHOOK_REPLY_KEY: Final = "straightline.webhooks"
"""The reply address of requests whose end is told by a webhook."""
WEBHOOKS_QUEUE: Final = "straightline.replies.webhooks"
"""Outcomes that webhooks are to be told of."""
LEADER_QUEUE: Final = "straightline.scheduler.leader"
"""Exclusive queue held by the one scheduler that works."""
BREAKERS_QUEUE_PREFIX: Final = "straightline.breakers."
"""Exclusive queues in which pools hear signals: breakers, heartbeats."""
REPLY_QUEUE_PREFIX: Final = "straightline.reply."

DELAYS_MS: Final[tuple[int, ...]] = (250, 350, 500, 1_000, 1_400, 2_000, 5_000, 7_000, 10_000, 30_000)
"""What messages may wait; several of a kind, so that what failed together does not come back together."""

PREDICT_TASK: Final = "straightline.predict"
INFER_TASK: Final = "straightline.infer"
"""The task that Celery producers send."""

TYPE_REQUEST: Final = "straightline.request.v1"
TYPE_CANCEL: Final = "straightline.cancel.v1"
TYPE_CANCEL_ANSWER: Final = "straightline.cancel-answer.v1"
TYPE_OUTCOMES: Final = "straightline.outcomes.v1"
TYPE_RECALL: Final = "straightline.recall.v1"
TYPE_LEASES: Final = "straightline.leases.v1"
TYPE_ATTEMPTS: Final = "straightline.attempts.v1"
TYPE_TICKET: Final = "straightline.ticket.v1"
TYPE_OUTCOME: Final = "straightline.outcome.v1"
TYPE_HEARTBEAT: Final = "straightline.heartbeat.v1"
TYPE_BREAKER: Final = "straightline.breaker.v1"
TYPE_FEEDBACK: Final = "straightline.feedback.v1"
TYPE_STATUS: Final = "straightline.status.v1"
TYPE_DEPLOYED: Final = "straightline.deployed.v1"
"""The AMQP `type` property of each message."""


def reply_exchange(reply_to: str) -> str:
    """Name of the exchange that results for this reply address are pushed to."""
    return ADAPTER_REPLIES if reply_to in (CELERY_REPLY_KEY, WEBHOOK_REPLY_KEY) else REPLIES


def backend_queue(backend: str) -> str:
    """Name of the queue that a backend's Celery pool consumes."""
    return f"straightline.{backend}"


def delay_queue(milliseconds: int) -> str:
    """Name of the queue that holds messages for so long."""
    return f"straightline.delay.{milliseconds}"
