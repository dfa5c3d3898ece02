"""Names on the wire: backends, classes, states, exchanges, queues, keys and message types.

They are part of the published package because producers in other languages need them too.
"""

from typing import Final, Literal

Backend = Literal["serverless", "gpu-container", "local"]
BACKENDS: Final[tuple[Backend, ...]] = ("serverless", "gpu-container", "local")

RequestClass = Literal["interactive", "batch"]
State = Literal["succeeded", "failed", "expired", "cancelled", "rejected"]
"""Final state of a request."""
Stage = Literal["accepted", "held", "placed", "running"]
"""State of a request that has not ended."""
BatchState = Literal["waiting", "running", "done", "cancelled", "failed"]
"""State of a batch job submitted over HTTP."""

REQUESTS: Final = "straightline.requests"
"""Exchange that producers write to; the routing key is the request's class, or `cancel`."""
PLACEMENTS: Final = "straightline.placements"
"""Exchange that only the scheduler writes to; the routing key is the backend, or `cancelled`."""
OUTCOMES: Final = "straightline.outcomes"
"""Exchange for final outcomes (key `outcome`), recalls (`recall`), leases (`placement`) and failed attempts
(`attempt`)."""
REPLIES: Final = "straightline.replies"
"""Exchange for results pushed to producers; the routing key is the request's `reply_to`. A user that may bind
a queue may bind it with any key, so keys are secret, except those of the adapters."""
ADAPTER_REPLIES: Final = "straightline.doors"
"""Exchange for results that an adapter passes on: to Celery callers and webhooks."""
SIGNALS: Final = "straightline.signals"
"""Exchange for signals, which may be lost: pool heartbeats (key `heartbeat`), freed slots (`feedback`),
breaker states (`breaker`)."""
STATUS: Final = "straightline.status"
"""Exchange for status events (key `status`), from the scheduler and the pools."""
DELAYS: Final = "straightline.delays"
"""Exchange to the delay queues; the routing key is the delay in milliseconds."""
RETURNS: Final = "straightline.returns"
"""Exchange that delay queues dead-letter to: requests to place again."""
REGISTRY: Final = "straightline.registry"
"""Exchange for deployment announcements (key `deployed`), from deploying tools and the reconciler."""
DEAD: Final = "straightline.dead"
"""Exchange and queue of dead letters."""

INTERACTIVE_QUEUE: Final = "straightline.requests.interactive"
BATCH_QUEUE: Final = "straightline.requests.batch"
REQUEST_QUEUES: Final = (INTERACTIVE_QUEUE, BATCH_QUEUE)
"""The queues of requests."""
CANCELS_QUEUE: Final = "straightline.requests.cancel"
"""Cancellations of producers (key `cancel`)."""
CANCELLED_STREAM: Final = "straightline.cancelled"
"""Stream of cancelled request ids; every pool and scheduler reads it from two days ago."""
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
"""Routing key on `straightline.signals` of breaker states from the scheduler."""
STATUS_STREAM: Final = "straightline.status.events"
"""Stream of the states of unfinished requests; every gateway follows it."""
STATUS_KEY: Final = "status"
"""Routing key on `straightline.status` of status events."""
MARK_KEY: Final = "mark"
"""Routing key on `straightline.signals` of marks: a stream reader that reads its own mark has caught up."""
DEPLOYED_STREAM: Final = "straightline.deployed"
"""Stream of the deployed models, complete in each entry; the highest revision is valid."""
DEPLOYED_KEY: Final = "deployed"
DEPLOYED_MARK_KEY: Final = "deployed-mark"
"""`MARK_KEY` for readers of the stream of deployed models."""
RETURNS_QUEUE: Final = "straightline.requests.returned"
ATTEMPTS_QUEUE: Final = "straightline.attempts"
OUTCOMES_QUEUE: Final = "straightline.outcomes"
DEAD_QUEUE: Final = "straightline.dead"
CELERY_QUEUE: Final = "straightline.requests.celery"
"""Tasks of Celery producers, published to the exchange of requests with the key `celery`."""
CELERY_REPLY_KEY: Final = "straightline.celery"
"""The reply address of requests that were Celery tasks."""
CELERY_REPLIES_QUEUE: Final = "straightline.replies.celery"
"""Outcomes to be converted to Celery results."""
WEBHOOK_REPLY_KEY: Final = "straightline.webhooks"
"""The reply address of requests with a webhook."""
WEBHOOKS_QUEUE: Final = "straightline.replies.webhooks"
"""Outcomes to be delivered to webhooks."""
LEADER_QUEUE: Final = "straightline.scheduler.leader"
"""Exclusive queue held by the leading scheduler."""
BREAKERS_QUEUE_PREFIX: Final = "straightline.breakers."
"""Exclusive queues in which pools receive signals: breaker states and heartbeats."""
REPLY_QUEUE_PREFIX: Final = "straightline.reply."

DELAYS_MS: Final[tuple[int, ...]] = (250, 350, 500, 1_000, 1_400, 2_000, 5_000, 7_000, 10_000, 30_000)
"""Delays of retries and holds; some are similar, so that requests that failed together return apart."""

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
    """Return the exchange for results to a reply address."""
    return ADAPTER_REPLIES if reply_to in (CELERY_REPLY_KEY, WEBHOOK_REPLY_KEY) else REPLIES


def backend_queue(backend: str) -> str:
    """Return the queue that a backend's Celery pool consumes."""
    return f"straightline.{backend}"


def delay_queue(milliseconds: int) -> str:
    """Return the queue that delays messages by that time."""
    return f"straightline.delay.{milliseconds}"
