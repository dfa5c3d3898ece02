"""What recorder and reconciler say to others; pure, but for the new ids of messages."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from outcomes.messaging.delivery import PoisonItem
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Completion, Feedback, Outcome, OutcomeBatch, Recall
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.ids import new_id
from straightline.messages import recall_message
from straightline.names import Backend

REASON_HEADER: Final = "x-straightline-reason"
QUEUE_HEADER: Final = "x-straightline-queue"
"""Of dead letters that a component sends itself: why, and which queue the message came from."""
MAX_REASON_CHARS: Final = 1024
MAX_OUTCOMES_PER_MESSAGE: Final = 100
"""Outcomes in one message."""
MIN_RECALL_DELAY_S: Final = 1.0
MAX_RECALL_AGE_S: Final = 25 * 3600.0
"""Seconds that a repeated id waits for its outcome: longer than a batch request may take."""


def answer(recall: Recall, outcome: Outcome) -> Outgoing | None:
    """Answer a repeated id: with its outcome, or with a rejection where the content had changed.

    Args:
        recall: the repetition.
        outcome: what stands in the ledger for this id.

    Returns:
        The message; None where nobody asked for an answer.
    """
    if recall.reply is None:
        return None
    said = _conflict(recall, outcome) if recall.conflict else outcome
    return reply(said, recall.reply.to, recall.reply.correlation_id)


def reply(outcome: Outcome, to: str, correlation_id: str) -> Outgoing:
    """Push an outcome to who asked for it."""
    return Outgoing(
        exchange=names.reply_exchange(to),
        routing_key=to,
        body=msgspec.json.encode(outcome),
        type=names.TYPE_OUTCOME,
        message_id=outcome.request_id,
        correlation_id=correlation_id,
        mandatory=False,  # who asked may be gone
    )


def outcome_batches(outcomes: Sequence[Outcome], *, headers: dict[str, Any] | None = None) -> list[Outgoing]:
    """Send outcomes on the way that all of them take, some in each message."""
    return [
        Outgoing(
            exchange=names.OUTCOMES,
            routing_key="outcome",
            body=msgspec.json.encode(
                OutcomeBatch(outcomes=list(outcomes[first : first + MAX_OUTCOMES_PER_MESSAGE]))
            ),
            type=names.TYPE_OUTCOMES,
            message_id=new_id(),
            headers=headers,
        )
        for first in range(0, len(outcomes), MAX_OUTCOMES_PER_MESSAGE)
    ]


def slots_freed(backend: Backend, ids: Iterable[str]) -> Outgoing:
    """Tell the scheduler that requests ended which a backend had, as far as anybody knows."""
    # Not as failed: that would be an answer of the backend, and speak for its health.
    done = [Completion(id=request_id, state="expired") for request_id in ids]
    return Outgoing(
        exchange=names.SIGNALS,
        routing_key="feedback",
        body=msgspec.json.encode(Feedback(backend=backend, worker="reconciler", done=done)),
        type=names.TYPE_FEEDBACK,
        persistent=False,
        mandatory=False,  # it may be lost
    )


def answers(recalls: Iterable[Recall], outcomes: Mapping[str, Outcome]) -> list[Outgoing]:
    """Answer all repeated ids whose outcome is known."""
    made = (
        answer(recall, outcomes[recall.request_id]) for recall in recalls if recall.request_id in outcomes
    )
    return [message for message in made if message is not None]


def delayed_recall(recall: Recall, now: float) -> Outgoing | None:
    """Let a repeated id that has no outcome yet come again later; None where it has waited for too long."""
    age = now - recall.seen_at
    if age > MAX_RECALL_AGE_S:
        return None
    wait = next(
        (ms for ms in names.DELAYS_MS if max(MIN_RECALL_DELAY_S, age / 10) * 1000 <= ms), names.DELAYS_MS[-1]
    )
    return recall_message(recall, names.DELAYS, str(wait))


def dead_letter(poison: PoisonItem) -> Outgoing:
    """Put what can never be recorded where people find it, with the reason."""
    return Outgoing(
        exchange=names.DEAD,
        routing_key=names.OUTCOMES_QUEUE,
        body=poison.body[:MAX_BODY_BYTES],  # more would not be taken, and tried for ever
        type=poison.type,
        headers={REASON_HEADER: poison.reason[:MAX_REASON_CHARS], QUEUE_HEADER: names.OUTCOMES_QUEUE},
    )


def _conflict(recall: Recall, outcome: Outcome) -> Outcome:
    return Outcome(
        request_id=recall.request_id,
        state="rejected",
        finished_at=recall.seen_at,
        model=outcome.model,
        version=outcome.version,
        class_=outcome.class_,
        batch_id=outcome.batch_id,
        error_class="conflict",
        error=f"the id {recall.request_id} was used before for other content, which "
        f"{outcome.state}; that outcome stands. Send this request with an id of its own, or an idempotency "
        "key of its own.",
        digest=recall.digest,
    )
