"""Runs a batch job: a bounded window of requests on their way, each line once, whatever breaks meanwhile."""

import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

import msgspec

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.batch.items import NOT_SENT, Defaults, Item, LineFailure, failure_of, parse_line
from straightline.batch.job_store import Checkpoint, JobStore, LinePosition
from straightline.batch.lines import Line, Source, line_at, lines
from straightline.contracts.outcome import Outcome
from straightline.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ContractError,
    Rejected,
    StoreUnavailable,
    StraightLineError,
    Unroutable,
)
from straightline.ids import id_of_line
from straightline.producer.producer import Producer, decode_outcome
from straightline.producer.results import OnBody

MAX_IN_FLIGHT: Final = 2_000
"""Requests of one job that are on their way at once."""
OUTCOME_TIMEOUT_S: Final = 900.0
"""Seconds without an outcome after which a line is submitted again, on an unbroken connection; then twice as
many. Its id is the same, so it is not computed twice."""
RETRY_INTERVAL_S: Final = 1.0
"""Seconds until what the broker or the store did not take is sent again; so often the job is made safe."""
MAX_RESEND_S: Final = 10.0
"""Seconds of sending again after which it is first looked at what has come, and the job is made safe."""
READ_BATCH_SIZE: Final = 200
"""Lines that are read before it is looked at what has come."""
POLL_INTERVAL_S: Final = 0.25
"""Seconds that nothing may come before the clock is looked at."""
CANCEL_TIMEOUT_S: Final = 60.0
"""Seconds that a cancelled job waits for what is on its way."""


class InFlightLine(msgspec.Struct):
    """A line on its way.

    Attributes:
        place: where it stands in the input.
        custom_id: what it calls itself.
        losses: how often the results' connection had been lost when it was sent.
        again_at: monotonic time at which it is sent again; infinite while it is not known to have arrived.
        patience: seconds until then, the next time.
        call: what waits for its outcome; None until it is first sent.
    """

    place: LinePosition
    custom_id: str | None
    losses: int
    again_at: float
    patience: float = OUTCOME_TIMEOUT_S
    call: OnBody | None = None


class RunCounts(msgspec.Struct):
    """What became of the lines in this run.

    Attributes:
        lines, bytes: that are done.
        succeeded: with an answer.
        failed: of which the request ended otherwise.
        refused: that were no request, or could not be sent.
        on_the_way: at present.
        trouble: what holds the job up now, for people; None where nothing does.
    """

    lines: int = 0
    bytes: int = 0
    succeeded: int = 0
    failed: int = 0
    refused: int = 0
    on_the_way: int = 0
    trouble: str | None = None


class Runner:
    """Sends the lines of one job and takes their outcomes.

    Args:
        job_id: UUIDv7; the ids of its requests are made of it.
        source: the input.
        producer: sends. It should keep few results, since all that come are waited for.
        book: keeps the job.
        defaults: for lines that do not say it themselves.
        stop: asked several times a second: whether to leave off, what is on its way included.
        progress: told as often.
        window: requests on their way at once.
        span: how far the last line on its way may be ahead of the first one; None does not matter.
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
        self.tally = RunCounts()
        self._job_id = job_id
        self._source = source
        self._producer = producer
        self._book = book
        self._defaults = defaults
        self._stop = stop
        self._progress = progress
        self._window = window
        self._span = span
        self._waiting: dict[int, InFlightLine] = {}
        self._came: SimpleQueue[tuple[int, bytes | None]] = SimpleQueue()
        self._sent: SimpleQueue[tuple[int, Exception | None]] = SimpleQueue()
        start = book.mark()
        self._next = start
        self._lines = lines(source, start.number, start.offset)
        self._ended = False
        self._hold_until = 0.0
        self._look_at = 0.0
        self._give_up_at: float | None = None

    def run(self) -> bool:
        """Run until every line is done; False where it was stopped, and can be taken up again.

        Raises:
            Unroutable: the broker has no queue for requests.
            ConfigurationError: the input is not the file any more that it was.
        """
        try:
            if self._book.cancelling():
                self._cancel(time.monotonic())
            while not (self._ended and not self._waiting):
                if self._stop():
                    return False
                self._fill()
                self._take()
                self._look()
            return True
        finally:
            for number, waiting in self._waiting.items():
                self._ask_no_more(number, waiting.call)
            self._book.commit(self._mark(), self._next.number - 1)
            self._progress(self.tally)

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
                self._open(line)
            if not self._came.empty() or time.monotonic() >= self._look_at:
                return

    def _room(self) -> bool:
        if len(self._waiting) >= self._window or time.monotonic() < self._hold_until:
            return False
        if self._waiting and self._book.crowded():
            return False
        first = next(iter(self._waiting), self._next.number)
        return self._span is None or self._next.number - first < self._span

    def _open(self, line: Line) -> None:
        place = LinePosition(line.number, line.offset, line.size)
        try:
            item = self._item(line)
        except ContractError as error:
            self._refuse(line, LineFailure(line.number, "refused", error.error_class, str(error)))
            return
        if self._give_up_at is not None and not self._book.sent(line.number):
            self._fail(line, msgspec.structs.replace(NOT_SENT, line=line.number))
            return
        waiting = InFlightLine(place, item.custom_id, self._losses(), float("inf"))
        self._waiting[line.number] = waiting
        if self._give_up_at is not None:
            self._take_back(line.number)
        self._send(line, item, waiting)

    def _item(self, line: Line) -> Item:
        if line.too_long:
            raise ContractError(
                f"the line is {line.size} bytes long, which is too much", error_class="too_large"
            )
        item = parse_line(line.text, self._defaults)
        if item.custom_id is not None:
            earlier = self._book.earlier(item.custom_id, line.number)
            if earlier is not None:
                raise ContractError(
                    f"its custom_id is that of line {earlier}: give each line its own",
                    error_class="duplicate",
                )
        return item

    def _send(self, line: Line, item: Item, waiting: InFlightLine) -> None:
        """Send a line, for the first time or again; what cannot be sent now is due again soon."""
        number = line.number
        identity = id_of_line(self._job_id, number)
        try:
            _, message = self._producer.compose(item.submission(identity, self._job_id))
        except (ContractError, Rejected) as error:
            self._ask_no_more(number, self._waiting.pop(number).call)
            kind = error.error_class if isinstance(error, ContractError) else "too_large"
            self._refuse(line, LineFailure(number, "refused", kind, str(error)))
            return
        except StoreUnavailable as error:
            self._later(waiting, error)
            return
        waiting.losses, waiting.again_at = self._losses(), float("inf")
        self._ask(number, waiting)
        self._publish(message, partial(self._settled, number), waiting)

    def _ask(self, number: int, waiting: InFlightLine) -> None:
        """Have the outcome brought here, once however often the line is sent.

        Asked before it is sent, and anew before the earlier call is withdrawn: what nobody waits for may be
        dropped.
        """
        earlier, waiting.call = waiting.call, lambda body: self._came.put((number, body))
        body = self._producer.results.ask(id_of_line(self._job_id, number), waiting.call)
        self._ask_no_more(number, earlier)
        if body is not None:
            self._came.put((number, body))

    def _ask_no_more(self, number: int, call: OnBody | None) -> None:
        """Wait for nothing more; the producer may outlive the job."""
        if call is not None:
            self._producer.results.give_up(id_of_line(self._job_id, number), call)

    def _publish(
        self, message: Outgoing, settled: Callable[[Exception | None], None], waiting: InFlightLine
    ) -> None:
        replies = self._producer.reply_queue
        try:
            if replies is not None and not replies.ready:
                raise BrokerUnavailable(replies.trouble or "there is no connection to take results from")
            self._producer.publisher.send(message, settled)
        except (BrokerUnavailable, Rejected) as error:
            self._later(waiting, error)

    def _settled(self, number: int, error: Exception | None) -> None:
        """Runs on the publisher's thread."""
        self._sent.put((number, error))

    def _later(self, waiting: InFlightLine, error: StraightLineError) -> None:
        self.tally.trouble = str(error)
        waiting.again_at = self._hold_until = time.monotonic() + RETRY_INTERVAL_S

    # Taking

    def _take(self) -> None:
        """Take what has come; wait a moment where nothing has."""
        busy = self._room() if not self._ended else not self._waiting
        try:
            came = self._came.get_nowait() if busy else self._came.get(timeout=POLL_INTERVAL_S)
            self._came_in(*came)
            # A store may be slow, and the job must be made safe all the same.
            while time.monotonic() < self._look_at:
                self._came_in(*self._came.get_nowait())
        except Empty:
            return

    def _came_in(self, number: int, body: bytes | None) -> None:
        waiting = self._waiting.get(number)
        if waiting is None or body is None:
            return  # it came twice, or the client is being closed
        outcome = self._read(number, body)
        try:
            outcome = self._producer.resolve(outcome)
        except StoreUnavailable as error:
            self._later(waiting, error)
            return
        except (ConfigurationError, ContractError):
            pass  # the output says where it lies
        del self._waiting[number]
        if outcome.state == "succeeded":
            self._count(waiting.place)
            self.tally.succeeded += 1
            self._book.answered(waiting.place, waiting.custom_id, outcome)
        else:
            line = self._again(waiting.place)
            self._fail(line, failure_of(number, outcome))

    def _read(self, number: int, body: bytes) -> Outcome:
        try:
            return decode_outcome(body)
        except ContractError as error:
            return Outcome(
                request_id=id_of_line(self._job_id, number),
                state="failed",
                finished_at=time.time(),
                error_class=error.error_class,
                error=str(error),
            )

    # The clock

    def _look(self) -> None:
        now = time.monotonic()
        self._hear()
        if now < self._look_at:
            return
        self._look_at = now + RETRY_INTERVAL_S
        if now >= self._hold_until:
            self.tally.trouble = None
        self._send_again(now)
        if self._give_up_at is None and self._book.cancelling():
            self._cancel(now)
        elif self._give_up_at is not None and self._ended and now > self._give_up_at:
            self._abandon()
        self.tally.on_the_way = len(self._waiting)
        self._book.commit(self._mark(), self._next.number - 1)
        self._progress(self.tally)

    def _hear(self) -> None:
        """Hear what became of what was published."""
        while not self._sent.empty():
            number, error = self._sent.get_nowait()
            waiting = self._waiting.get(number)
            if isinstance(error, Unroutable):
                raise error
            if waiting is None:
                continue
            if error is None:
                waiting.again_at = time.monotonic() + waiting.patience
                waiting.patience *= 2
            elif isinstance(error, StraightLineError):
                self._later(waiting, error)
            else:
                raise error

    def _send_again(self, now: float) -> None:
        """Submit again what has no outcome, and may have lost it."""
        losses = self._losses()
        due = [each for each in self._waiting.values() if each.again_at <= now or each.losses != losses]
        for waiting in due:
            held = time.monotonic() < self._hold_until and self.tally.trouble
            if held or time.monotonic() > now + MAX_RESEND_S:
                return
            line = self._again(waiting.place)
            self._send(line, parse_line(line.text, self._defaults), waiting)

    def _losses(self) -> int:
        replies = self._producer.reply_queue
        return 0 if replies is None else replies.losses

    # Giving up

    def _cancel(self, now: float) -> None:
        self._give_up_at = now + CANCEL_TIMEOUT_S
        for number in self._waiting:
            self._take_back(number)

    def _take_back(self, number: int) -> None:
        """Wish that a request be cancelled; its outcome says what came first."""
        _, wish = self._producer.cancel_request(id_of_line(self._job_id, number), answered=False)
        try:
            self._producer.publisher.send(wish, lambda _: None)
        except (BrokerUnavailable, Rejected) as error:
            self.tally.trouble = str(error)

    def _abandon(self) -> None:
        """End what has no outcome long after its cancellation."""
        for number, waiting in list(self._waiting.items()):
            self._ask_no_more(number, self._waiting.pop(number).call)
            line = self._again(waiting.place)
            why = msgspec.structs.replace(NOT_SENT, line=number, id=id_of_line(self._job_id, number))
            self._fail(line, why)

    # Keeping

    def _mark(self) -> Checkpoint:
        first = next(iter(self._waiting), None)  # they were put there in their order
        if first is None:
            return self._next
        return Checkpoint(first, self._waiting[first].place.offset)

    def _again(self, place: LinePosition) -> Line:
        try:
            return line_at(self._source, place.number, place.offset)
        except LookupError as error:
            raise ConfigurationError(f"the input was changed while its job ran: {error}") from error

    def _refuse(self, line: Line, why: LineFailure) -> None:
        self._count(line)
        self.tally.refused += 1
        self._book.failed(line, why)

    def _fail(self, line: Line, why: LineFailure) -> None:
        self._count(line)
        self.tally.failed += 1
        self._book.failed(line, why)

    def _count(self, place: LinePosition | Line) -> None:
        self.tally.lines += 1
        self.tally.bytes += place.size
