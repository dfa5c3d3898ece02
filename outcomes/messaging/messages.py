"""Messages that recorder and reconciler send, decided from recalls, outcomes and poison items."""

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
    return reply(said, recall.reply)


def outcome_batches(outcomes: Sequence[Outcome], *, headers: dict[str, Any] | None = None) -> list[Outgoing]:
    """Send outcomes on the way that all of them take, some in each message."""
    return [
        outcome_batch(
            [msgspec.json.encode(each) for each in outcomes[first : first + MAX_OUTCOMES_PER_MESSAGE]],
            headers=headers,
        )
        for first in range(0, len(outcomes), MAX_OUTCOMES_PER_MESSAGE)
    ]


def slots_freed(backend: Backend, ids: Iterable[str]) -> Outgoing:
    """Tell the scheduler that requests ended which a backend had, as far as anybody knows."""
    # Not as failed: that would be an answer of the backend, and speak for its health.
    done = [Completion(id=request_id, state="expired") for request_id in ids]
    return feedback_message(Feedback(backend=backend, worker="reconciler", done=done))


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
    return delayed_message(recall, wait)


def poison_letter(poison: PoisonItem) -> Outgoing:
    """Build the dead letter of an item that can never be recorded."""
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
        error=f"the id {recall.request_id} was used before for other content, which "
        f"{outcome.state}; that outcome stands. Send this request with an id of its own, or an idempotency "
        "key of its own.",
        digest=recall.digest,
    )
