"""Runs a batch job: a bounded window of requests in flight, each line exactly once across failures."""

import time
from collections.abc import Callable
from queue import Empty
from typing import Final

import msgspec

from straightline.batch.items import NOT_SENT, Defaults, Item, LineFailure, failure_of, parse_line
from straightline.batch.job_store import Checkpoint, JobStore, LinePosition
from straightline.batch.line_sender import LineSender
from straightline.batch.line_state import InFlightLine, RunCounts
from straightline.batch.lines import Line, Source, line_at, lines
from straightline.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ContractError,
    Rejected,
    StoreUnavailable,
    StraightLineError,
    Unroutable,
)
from straightline.producer.producer import Producer

MAX_IN_FLIGHT: Final = 2_000
"""Requests of one job in flight at most."""
OUTCOME_TIMEOUT_S: Final = 900.0
"""A line without an outcome is submitted again after this time on an unbroken connection, then after twice
that. Its id stays the same, so that it is not computed twice."""
RETRY_INTERVAL_S: Final = 1.0
"""Between submissions that broker or store did not accept, and between checkpoints."""
MAX_RESEND_S: Final = 10.0
"""Resending is interrupted after this time to receive outcomes and write a checkpoint."""
READ_BATCH_SIZE: Final = 200
"""Lines read before outcomes are received."""
POLL_INTERVAL_S: Final = 0.25
"""Longest wait for an outcome before the timers are checked."""
CANCEL_TIMEOUT_S: Final = 60.0
"""A cancelled job waits for its requests in flight for this time."""


class Runner:
    """Submits the lines of one job and stores their outcomes.

    Args:
        job_id: UUIDv7; request ids are derived from it.
        source: the input.
        producer: publishes the requests. It should keep few results, since all are awaited.
        book: stores the job's progress and results.
        defaults: for lines without these fields.
        stop: called several times a second; returns whether to stop, requests in flight included.
        progress: called as often, with the counts.
        window: requests in flight at most.
        span: maximum distance in lines between the first and last line in flight; None sets no limit.
    """

    def __init__(
        self,
        job_id: str,
        source: Source,
        producer: Producer,
        book: JobStore,
        defaults: Defaults,
        *,
        stop: Callable[[], bool],
        progress: Callable[[RunCounts], object] = lambda _: None,
        window: int = MAX_IN_FLIGHT,
        span: int | None = None,
    ) -> None:
        self.counts = RunCounts()
        self._sender = LineSender(job_id, producer)
        self._source = source
        self._book = book
        self._defaults = defaults
        self._stop = stop
        self._progress = progress
        self._window = window
        self._span = span
        self._in_flight: dict[int, InFlightLine] = {}
        start = book.mark()
        self._next = start
        self._lines = lines(source, start.number, start.offset)
        self._ended = False
        self._hold_until = 0.0
        self._checkpoint_at = 0.0
        self._abandon_at: float | None = None  # set once the job is cancelled

    def run(self) -> bool:
        """Run until every line is finished; return False if stopped, so that it can be resumed.

        Raises:
            Unroutable: the broker has no queue for requests.
            ConfigurationError: the input has changed.
        """
        try:
            if self._book.cancelling():
                self._cancel(time.monotonic())
            while not (self._ended and not self._in_flight):
                if self._stop():
                    return False
                self._fill()
                self._receive()
                self._tick()
            return True
        finally:
            for number in self._in_flight:
                self._sender.forget(number)
            self._book.commit(self._checkpoint(), self._next.number - 1)
            self._progress(self.counts)

    # Sending

    def _fill(self) -> None:
        for _ in range(READ_BATCH_SIZE):
            if self._ended or not self._room():
                return
            line = next(self._lines, None)
            if line is None:
                self._ended = True
                return
            self._next = Checkpoint(line.number + 1, line.offset + line.size)
            if not self._book.done(line.number):
                self._start(line)
            if not self._sender.outcomes.empty() or time.monotonic() >= self._checkpoint_at:
                return

    def _room(self) -> bool:
        if len(self._in_flight) >= self._window or time.monotonic() < self._hold_until:
            return False
        if self._in_flight and self._book.crowded():
            return False
        first = next(iter(self._in_flight), self._next.number)
        return self._span is None or self._next.number - first < self._span

    def _start(self, line: Line) -> None:
        position = LinePosition(line.number, line.offset, line.size)
        try:
            item = self._item(line)
        except ContractError as error:
            self._refuse(line, LineFailure(line.number, "refused", error.error_class, str(error)))
            return
        if self._abandon_at is not None and not self._book.sent(line.number):
            self._fail(line, msgspec.structs.replace(NOT_SENT, line=line.number))
            return
        waiting = InFlightLine(position, item.custom_id, self._sender.losses, float("inf"), OUTCOME_TIMEOUT_S)
        self._in_flight[line.number] = waiting
        if self._abandon_at is not None:
            self._cancel_line(line.number)
        self._send(line, item, waiting)

    def _item(self, line: Line) -> Item:
        if line.too_long:
            raise ContractError(f"the line is too long: {line.size} bytes", error_class="too_large")
        item = parse_line(line.text, self._defaults)
        if item.custom_id is not None:
            earlier = self._book.earlier(item.custom_id, line.number)
            if earlier is not None:
                raise ContractError(
                    f"the custom_id is that of line {earlier}: give each line its own",
                    error_class="duplicate",
                )
        return item

    def _send(self, line: Line, item: Item, waiting: InFlightLine) -> None:
        """Submit a line, for the first time or again; try later if broker or store do not accept it."""
        number = line.number
        try:
            message = self._sender.compose(number, item)
        except (ContractError, Rejected) as error:
            self._sender.forget(number)
            del self._in_flight[number]
            kind = error.error_class if isinstance(error, ContractError) else "too_large"
            self._refuse(line, LineFailure(number, "refused", kind, str(error)))
            return
        except StoreUnavailable as error:
            self._retry_later(waiting, error)
            return
        waiting.losses, waiting.resend_at = self._sender.losses, float("inf")
        self._sender.expect(number)
        try:
            self._sender.publish(number, message)
        except (BrokerUnavailable, Rejected) as error:
            self._retry_later(waiting, error)

    def _retry_later(self, waiting: InFlightLine, error: StraightLineError) -> None:
        self.counts.trouble = str(error)
        waiting.resend_at = self._hold_until = time.monotonic() + RETRY_INTERVAL_S

    # Receiving

    def _receive(self) -> None:
        """Receive the outcomes that have arrived; wait for one if there is nothing else to do."""
        busy = self._room() if not self._ended else not self._in_flight
        outcomes = self._sender.outcomes
        try:
            arrived = outcomes.get_nowait() if busy else outcomes.get(timeout=POLL_INTERVAL_S)
            self._finish(*arrived)
            # A store may be slow, and checkpoints must be written all the same.
            while time.monotonic() < self._checkpoint_at:
                self._finish(*outcomes.get_nowait())
        except Empty:
            return

    def _finish(self, number: int, body: bytes | None) -> None:
        waiting = self._in_flight.get(number)
        if waiting is None or body is None:
            return  # a repeated outcome, or the client is being closed
        try:
            outcome = self._sender.read(number, body)
        except StoreUnavailable as error:
            self._retry_later(waiting, error)
            return
        del self._in_flight[number]
        if outcome.state == "succeeded":
            self._count(waiting.position)
            self.counts.succeeded += 1
            self._book.answered(waiting.position, waiting.custom_id, outcome)
        else:
            self._fail(self._read_again(waiting.position), failure_of(number, outcome))

    # Timers

    def _tick(self) -> None:
        now = time.monotonic()
        self._handle_confirms()
        if now < self._checkpoint_at:
            return
        self._checkpoint_at = now + RETRY_INTERVAL_S
        if now >= self._hold_until:
            self.counts.trouble = None
        self._resend(now)
        if self._abandon_at is None and self._book.cancelling():
            self._cancel(now)
        elif self._abandon_at is not None and self._ended and now > self._abandon_at:
            self._abandon()
        self.counts.in_flight = len(self._in_flight)
        self._book.commit(self._checkpoint(), self._next.number - 1)
        self._progress(self.counts)

    def _handle_confirms(self) -> None:
        while not self._sender.confirms.empty():
            number, error = self._sender.confirms.get_nowait()
            waiting = self._in_flight.get(number)
            if isinstance(error, Unroutable):
                raise error
            if waiting is None:
                continue
            if error is None:
                waiting.resend_at = time.monotonic() + waiting.timeout_s
                waiting.timeout_s *= 2
            elif isinstance(error, StraightLineError):
                self._retry_later(waiting, error)
            else:
                raise error

    def _resend(self, now: float) -> None:
        """Submit lines again whose outcome is overdue or may be lost."""
        losses = self._sender.losses
        due = [each for each in self._in_flight.values() if each.resend_at <= now or each.losses != losses]
        for waiting in due:
            held = time.monotonic() < self._hold_until and self.counts.trouble
            if held or time.monotonic() > now + MAX_RESEND_S:
                return
            line = self._read_again(waiting.position)
            self._send(line, parse_line(line.text, self._defaults), waiting)

    # Cancelling

    def _cancel(self, now: float) -> None:
        self._abandon_at = now + CANCEL_TIMEOUT_S
        for number in self._in_flight:
            self._cancel_line(number)

    def _cancel_line(self, number: int) -> None:
        try:
            self._sender.cancel(number)
        except (BrokerUnavailable, Rejected) as error:
            self.counts.trouble = str(error)

    def _abandon(self) -> None:
        """Fail the lines that have no outcome long after their cancellation."""
        for number, waiting in list(self._in_flight.items()):
            self._sender.forget(number)
            del self._in_flight[number]
            line = self._read_again(waiting.position)
            request_id = self._sender.request_id(number)
            self._fail(line, msgspec.structs.replace(NOT_SENT, line=number, id=request_id))

    # Recording

    def _checkpoint(self) -> Checkpoint:
        first = next(iter(self._in_flight), None)  # they are in input order
        if first is None:
            return self._next
        return Checkpoint(first, self._in_flight[first].position.offset)

    def _read_again(self, position: LinePosition) -> Line:
        try:
            return line_at(self._source, position.number, position.offset)
        except LookupError as error:
            raise ConfigurationError(f"the input was changed while its job ran: {error}") from error

    def _refuse(self, line: Line, failure: LineFailure) -> None:
        self._count(line)
        self.counts.refused += 1
        self._book.failed(line, failure)

    def _fail(self, line: Line, failure: LineFailure) -> None:
        self._count(line)
        self.counts.failed += 1
        self._book.failed(line, failure)

    def _count(self, position: LinePosition | Line) -> None:
        self.counts.lines += 1
        self.counts.bytes += position.size
