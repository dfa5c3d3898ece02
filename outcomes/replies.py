"""What the recorder says to others; pure."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from outcomes.reading import Poison
from straightline import names
from straightline.amqp.outgoing import Outgoing
from straightline.contracts import Outcome, Recall

REASON_HEADER: Final = "x-straightline-reason"
LONGEST_REASON: Final = 1024


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
    return Outgoing(
        exchange=names.REPLIES,
        routing_key=recall.reply.to,
        body=msgspec.json.encode(said),
        type=names.TYPE_OUTCOME,
        message_id=recall.request_id,
        correlation_id=recall.reply.correlation_id,
        mandatory=False,  # who asked may be gone
    )


def answers(recalls: Iterable[Recall], outcomes: Mapping[str, Outcome]) -> list[Outgoing]:
    """Answer all repeated ids whose outcome is known."""
    made = (
        answer(recall, outcomes[recall.request_id]) for recall in recalls if recall.request_id in outcomes
    )
    return [message for message in made if message is not None]


def burial(poison: Poison) -> Outgoing:
    """Put an outcome that can never be recorded where people find it, with the reason."""
    return Outgoing(
        exchange=names.DEAD,
        routing_key=names.OUTCOMES_QUEUE,
        body=poison.body,
        type=names.TYPE_OUTCOME,
        headers={REASON_HEADER: poison.reason[:LONGEST_REASON]},
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
        f"{outcome.state}; that outcome stands. Send this request with an id of its own.",
        digest=recall.digest,
    )
