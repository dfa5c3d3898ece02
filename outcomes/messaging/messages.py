"""Messages that recorder and reconciler send."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from outcomes.messaging.delivery import PoisonItem
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Completion, Feedback, Outcome, Recall
from straightline.messages.dead_letters import dead_letter
from straightline.messages.delays import delayed_message
from straightline.messages.results import outcome_batch, reply
from straightline.messages.signals import feedback_message
from straightline.names import Backend

MAX_OUTCOMES_PER_MESSAGE: Final = 100
MIN_RECALL_DELAY_S: Final = 1.0
MAX_RECALL_AGE_S: Final = 25 * 3600.0
"""Time that a repeated id waits for its outcome; longer than a batch request may take."""


def answers(recalls: Iterable[Recall], outcomes: Mapping[str, Outcome]) -> list[Outgoing]:
    """Answer every repeated id with a known outcome and a reply address."""
    made = (
        answer(recall, outcomes[recall.request_id]) for recall in recalls if recall.request_id in outcomes
    )
    return [message for message in made if message is not None]


def answer(recall: Recall, outcome: Outcome) -> Outgoing | None:
    """Answer a repeated id with its outcome, or with a rejection if the content differs.

    Args:
        recall: the repeated submission.
        outcome: the recorded outcome of this id.

    Returns:
        The message; None without a reply address.
    """
    if recall.reply is None:
        return None
    return reply(_conflict(recall, outcome) if recall.conflict else outcome, recall.reply)


def delayed_recall(recall: Recall, now: float) -> Outgoing | None:
    """Send a repeated id without an outcome back after a delay; None once it has waited for too long."""
    age = now - recall.seen_at
    if age > MAX_RECALL_AGE_S:
        return None
    wait_ms = max(MIN_RECALL_DELAY_S, age / 10) * 1000
    return delayed_message(
        recall, next((delay for delay in names.DELAYS_MS if wait_ms <= delay), names.DELAYS_MS[-1])
    )


def outcome_batches(outcomes: Sequence[Outcome], *, headers: dict[str, Any] | None = None) -> list[Outgoing]:
    """Send outcomes to the recorder, up to `MAX_OUTCOMES_PER_MESSAGE` in each message."""
    return [
        outcome_batch(
            [msgspec.json.encode(each) for each in outcomes[first : first + MAX_OUTCOMES_PER_MESSAGE]],
            headers=headers,
        )
        for first in range(0, len(outcomes), MAX_OUTCOMES_PER_MESSAGE)
    ]


def slots_freed(backend: Backend, ids: Iterable[str]) -> Outgoing:
    """Tell the scheduler that a backend's requests ended, so that it frees their slots."""
    # Not as failed: that would count as the backend's answer and affect its health.
    done = [Completion(id=request_id, state="expired") for request_id in ids]
    return feedback_message(Feedback(backend=backend, worker="reconciler", done=done))


def poison_letter(poison: PoisonItem) -> Outgoing:
    """Dead-letter an item that can never be recorded."""
    return dead_letter(poison.body, poison.reason, queue=names.OUTCOMES_QUEUE, type_=poison.type)


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
        error=f"id conflict: {recall.request_id} was used before for other content, which {outcome.state}; "
        "that outcome is kept. Send this request with a new id or idempotency key",
        digest=recall.digest,
    )
