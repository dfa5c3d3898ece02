"""Telling the ledger, the scheduler and the producers what became of a placement."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Final, Protocol

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Completion, Feedback, ReplyAddress
from straightline.errors import BrokerUnavailable, Rejected, StraightLineError, Unroutable
from straightline.ids import new_id
from straightline.messages import what_stands_message
from workers.execution.executor import Results
from workers.execution.judging import CallTiming, cancelled
from workers.execution.placements import Work
from workers.execution.result import PoolIdentity, failed_attempt_of, outcome_of

MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Bytes from which a task's outcomes are split over several messages."""
RETRY_DELAYS_S: Final[tuple[float, ...]] = (0.2, 1.0, 5.0, 10.0)
"""Seconds between tries while the broker refuses an outcome: its queue is full, or not there."""
CONFIRM_TIMEOUT_S: Final = 86_400.0
"""Seconds, for the sender. A broker that blocks its publishers has what was written, and confirms it when it
goes on: a placement given back meanwhile would be worked again and again."""
SHUTDOWN_CONFIRM_TIMEOUT_S: Final = 10.0
"""Seconds that confirms are waited for once the pool stops."""
MISSING_DATA: Final = "missing_data"
"""Of data by reference: its producer removes it once it was told of the end, so that a second execution of a
request, which a lost connection may bring, finds nothing. The recorder tells its producer what stands."""
CONFIRM_POLL_INTERVAL_S: Final = 0.5
"""Seconds between looks at whether it does."""

logger = logging.getLogger(__name__)


class Sender(Protocol):
    """What publishes: `straightline.amqp.publishing.publisher.Publisher`."""

    def publish(self, message: Outgoing) -> Future[None]:
        """Send a message; the future is done when the broker has it safe."""
        ...


class ReportNotConfirmed(StraightLineError):  # noqa: N818
    """The broker did not confirm what became of a placement, so the placement must come again."""


class Reporter:
    """Publishes what became of a placement, and returns when all of it is safe.

    Args:
        sender: confirmed publishing.
        place: the pool.
        stopping: set when the pool stops, which ends waiting between tries.
        clock: seconds since the epoch.
    """

    def __init__(
        self, sender: Sender, place: PoolIdentity, stopping: threading.Event, clock: Callable[[], float]
    ) -> None:
        self._sender = sender
        self._place = place
        self._clock = clock
        self._stopping = stopping
        self._early: dict[str, list[Future[None]]] = {}  # by request id

    def report(self, judged: Results) -> None:
        """Publish outcomes, failed attempts and replies; then, unconfirmed, the slots that came free.

        Raises:
            Unreported: something was not confirmed.
        """
        self._deliver([*self._messages([pair for pair in judged if not self._was_early(pair[0])])])
        self._sender.publish(self._feedback(judged))

    def end_early(self, work: Work, started_at: float) -> None:
        """Publish the end of a request that is cancelled while in work; `report` sees that it is safe."""
        verdict = cancelled(CallTiming(started=started_at, finished=max(started_at, self._clock())))
        sent = [(message, self._sender.publish(message)) for message in self._messages([(work, verdict)])]
        self._early[work.request.id] = [future for message, future in sent if message.mandatory]

    def _was_early(self, work: Work) -> bool:
        """Whether the end of a request was published before, and is safe."""
        futures = self._early.pop(work.request.id, None)
        if futures is None:
            return False
        try:
            for future in futures:
                self._confirmed(future)
        except StraightLineError:
            return False
        return True

    def _messages(self, judged: Results) -> Iterator[Outgoing]:
        faults = [pair for pair in judged if pair[1].kind == "fault"]
        final = [pair for pair in judged if pair[1].kind != "fault"]
        encoded = [msgspec.json.encode(outcome_of(work, verdict, self._place)) for work, verdict in final]
        for chunk in _chunks(encoded):
            yield _batch(names.TYPE_OUTCOMES, "outcome", b"outcomes", chunk)
        failed = [
            msgspec.json.encode(failed_attempt_of(work, verdict, self._place)) for work, verdict in faults
        ]
        for chunk in _chunks(failed):
            yield _batch(names.TYPE_ATTEMPTS, "attempt", b"failed", chunk)
        for (work, verdict), body in zip(final, encoded, strict=True):
            if work.ticket.reply is not None and verdict.error_class == MISSING_DATA:
                yield what_stands_message(
                    work.request.id, work.ticket.digest, work.ticket.reply, self._clock()
                )
            elif work.ticket.reply is not None:
                yield _reply(work, work.ticket.reply, body)

    def _deliver(self, messages: Sequence[Outgoing]) -> None:
        waiting = messages
        for pause in (*RETRY_DELAYS_S, None):
            refused, problem = self._try(waiting)
            if not refused:
                return
            if pause is None or self._stopping.wait(pause):
                raise ReportNotConfirmed(
                    f"the broker refuses what became of a placement: {problem}"
                ) from problem
            waiting = refused

    def _try(self, messages: Sequence[Outgoing]) -> tuple[list[Outgoing], Exception | None]:
        """Publish, and return what the broker refused for now."""
        futures = [self._sender.publish(message) for message in messages]
        refused: list[Outgoing] = []
        problem: Exception | None = None
        for message, future in zip(messages, futures, strict=True):
            try:
                self._confirmed(future)
            except (Rejected, Unroutable) as error:
                if not message.mandatory:  # a reply; its outcome is in the ledger
                    logger.warning("a reply was not delivered: %s", error)
                    continue
                refused.append(message)
                problem = error
            except BrokerUnavailable as error:
                raise ReportNotConfirmed(f"the broker did not confirm: {error}") from error
        return refused, problem

    def _confirmed(self, future: Future[None]) -> None:
        """Wait for the broker's answer: for as long as it takes, unless the pool stops."""
        stopped_at = None
        while True:
            try:
                return future.result(CONFIRM_POLL_INTERVAL_S)
            except TimeoutError:
                if not self._stopping.is_set():
                    continue
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > SHUTDOWN_CONFIRM_TIMEOUT_S:
                    raise ReportNotConfirmed("the pool stops, and the broker has not confirmed") from None

    def _feedback(self, judged: Results) -> Outgoing:
        done = [
            Completion(
                id=work.request.id,
                state=None if verdict.kind == "fault" else verdict.kind,
                service=verdict.service,
                fault=verdict.error_class if verdict.kind == "expired" and verdict.asked else None,
            )
            for work, verdict in judged
        ]
        feedback = Feedback(backend=self._place.backend, worker=self._place.worker, done=done)
        return signal("feedback", names.TYPE_FEEDBACK, msgspec.json.encode(feedback))


def _reply(work: Work, reply: ReplyAddress, body: bytes) -> Outgoing:
    return Outgoing(
        exchange=names.reply_exchange(reply.to),
        routing_key=reply.to,
        body=body,
        type=names.TYPE_OUTCOME,
        message_id=work.request.id,
        correlation_id=reply.correlation_id,
        persistent=False,  # its queue lives as long as the client's connection
        mandatory=False,  # the client may be gone
    )


def signal(key: str, type_: str, body: bytes) -> Outgoing:
    """Make a message that may be lost: the next one mends it."""
    return Outgoing(
        exchange=names.SIGNALS, routing_key=key, body=body, type=type_, persistent=False, mandatory=False
    )


def _batch(type_: str, key: str, member: bytes, items: Iterable[bytes]) -> Outgoing:
    # The items are encoded once, for the batch and for the replies.
    body = b'{"' + member + b'":[' + b",".join(items) + b"]}"
    return Outgoing(exchange=names.OUTCOMES, routing_key=key, body=body, type=type_, message_id=new_id())


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
