"""The requests of a batch job's lines: publishing, confirms, outcomes and cancellations by line number."""

import time
from functools import partial
from queue import SimpleQueue

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.batch.items import Item
from straightline.contracts.outcome import Outcome
from straightline.errors import BrokerUnavailable, ConfigurationError, ContractError
from straightline.ids import id_of_line
from straightline.producer.producer import Producer, decode_outcome
from straightline.producer.results import OnBody


class LineSender:
    """Publishes the requests of a job's lines and receives their outcomes.

    Args:
        job_id: UUIDv7; request ids are derived from it.
        producer: publishes; it may outlive the job.

    Attributes:
        outcomes: line numbers with the bodies of their outcomes; None when the producer is being closed.
        confirms: line numbers with None for a confirm, or the publisher's error.
    """

    def __init__(self, job_id: str, producer: Producer) -> None:
        self._job_id = job_id
        self._producer = producer
        self._calls: dict[int, OnBody] = {}
        self.outcomes: SimpleQueue[tuple[int, bytes | None]] = SimpleQueue()
        self.confirms: SimpleQueue[tuple[int, Exception | None]] = SimpleQueue()

    def request_id(self, number: int) -> str:
        """Return the request id of a line."""
        return id_of_line(self._job_id, number)

    @property
    def losses(self) -> int:
        """Number of lost result connections so far."""
        replies = self._producer.reply_queue
        return 0 if replies is None else replies.losses

    def compose(self, number: int, item: Item) -> Outgoing:
        """Return the message of a line.

        Raises:
            ContractError, Rejected, StoreUnavailable: as `Producer.compose`.
        """
        _, message = self._producer.compose(item.submission(self.request_id(number), self._job_id))
        return message

    def expect(self, number: int) -> None:
        """Receive the outcome of a line, once however often it is sent.

        Called before the line is sent, and the new call is registered before the old one is withdrawn: a
            result
        that no call expects may be dropped.
        """
        earlier = self._calls.get(number)

        def arrived(body: bytes | None) -> None:
            self.outcomes.put((number, body))

        self._calls[number] = arrived
        body = self._producer.results.ask(self.request_id(number), arrived)
        if earlier is not None:
            self._producer.results.give_up(self.request_id(number), earlier)
        if body is not None:
            self.outcomes.put((number, body))

    def forget(self, number: int) -> None:
        """Expect no outcome of a line any more."""
        call = self._calls.pop(number, None)
        if call is not None:
            self._producer.results.give_up(self.request_id(number), call)

    def publish(self, number: int, message: Outgoing) -> None:
        """Publish the message of a line; its confirm arrives in `confirms`.

        Raises:
            BrokerUnavailable: results cannot arrive now, or the publisher's window stays full.
            Rejected: as `Publisher.send`.
        """
        replies = self._producer.reply_queue
        if replies is not None and not replies.ready:
            raise BrokerUnavailable(replies.trouble or "the connection for results is down")
        # Called on the publisher's thread.
        self._producer.publisher.send(message, partial(self._confirmed, number))

    def cancel(self, number: int) -> None:
        """Cancel the request of a line; its outcome says what came first.

        Raises:
            BrokerUnavailable, Rejected: as `Publisher.send`.
        """
        _, message = self._producer.cancel_request(self.request_id(number), answered=False)
        self._producer.publisher.send(message, lambda _: None)

    def read(self, number: int, body: bytes) -> Outcome:
        """Return an outcome, with its result read from the store if that is possible.

        A malformed outcome becomes a failed one.

        Raises:
            StoreUnavailable: the store could not be read now.
        """
        try:
            outcome = decode_outcome(body)
        except ContractError as error:
            return Outcome(
                request_id=self.request_id(number),
                state="failed",
                finished_at=time.time(),
                error_class=error.error_class,
                error=str(error),
            )
        try:
            return self._producer.resolve(outcome)
        except (ConfigurationError, ContractError):
            return outcome  # the output contains the reference

    def _confirmed(self, number: int, error: Exception | None) -> None:
        self.confirms.put((number, error))
