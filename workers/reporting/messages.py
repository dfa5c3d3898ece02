"""The messages with which a pool reports results, and the interface that publishes them."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Final, Protocol

import msgspec

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Completion, Feedback
from straightline.messages.ledger import outcome_query_message
from straightline.messages.results import encoded_reply, failed_attempts, outcome_batch
from straightline.messages.signals import feedback_message
from workers.domain.outcomes import PoolIdentity, failed_attempt_of, outcome_of
from workers.domain.result import Results

MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""A placement's outcomes above this size are split over several messages."""
MISSING_DATA: Final = "missing_data"
"""The producer removes a referenced input once it has the outcome, so a second execution after a lost
connection finds nothing. The recorder then sends the producer the outcome that is on record."""


class Sender(Protocol):
    """Confirmed publishing: `straightline.amqp.publishing.publisher.Publisher`."""

    def publish(self, message: Outgoing) -> Future[None]:
        """Send a message; the future completes when the broker has confirmed it."""
        ...


def result_messages(results: Results, pool: PoolIdentity, now: float) -> Iterator[Outgoing]:
    """Yield the outcomes, the failed attempts, and the replies to the producers."""
    final = [pair for pair in results if pair[1].kind != "fault"]
    outcomes = [msgspec.json.encode(outcome_of(work, result, pool)) for work, result in final]
    for chunk in _chunks(outcomes):
        yield outcome_batch(chunk)
    faults = [pair for pair in results if pair[1].kind == "fault"]
    failed = [msgspec.json.encode(failed_attempt_of(work, result, pool)) for work, result in faults]
    for chunk in _chunks(failed):
        yield failed_attempts(chunk)
    for (work, result), outcome in zip(final, outcomes, strict=True):
        if work.ticket.reply is not None and result.error_class == MISSING_DATA:
            yield outcome_query_message(work.request.id, work.ticket.digest, work.ticket.reply, now)
        elif work.ticket.reply is not None:
            yield encoded_reply(work.request.id, outcome, work.ticket.reply)


def feedback_of(results: Results, pool: PoolIdentity) -> Outgoing:
    """Return the signal that tells the scheduler which slots are free again."""
    done = [
        Completion(
            id=work.request.id,
            state=None if result.kind == "fault" else result.kind,
            service=result.service,
            fault=result.error_class if result.kind == "expired" and result.asked else None,
        )
        for work, result in results
    ]
    return feedback_message(Feedback(backend=pool.backend, worker=pool.worker, done=done))


def _chunks(items: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for item in items:
        if chunk and size + len(item) > MAX_BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += len(item)
    if chunk:
        yield chunk
