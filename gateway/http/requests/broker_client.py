"""Requests and questions out, outcomes and answers in, pushed; each waiting thread gets its own."""

import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from gateway.http.requests.status_client import AWAY, REFUSED, UNHEARD, Inquiries, Inquiry, question_message
from straightline import names
from straightline.amqp import Publisher
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.amqp.consuming.reply_queue import Inbox
from straightline.contracts import Outcome
from straightline.errors import BrokerUnavailable, Rejected, StraightLineError, Unroutable
from straightline.ids import new_id
from straightline.messages import request_message, wish_message

CONFIRM_PATIENCE: Final = 10.0
"""Seconds that a caller is kept waiting for a broker that does not answer."""
QUESTIONS_LAST: Final = 1.0
"""Seconds after which a question that the broker does not take is thrown away."""
QUESTIONS_AGAIN: Final = 30.0
"""Seconds for which none are asked where the broker refuses them: each one costs a connection."""

_OUTCOME = msgspec.json.Decoder(Outcome)


class Full(BrokerUnavailable):
    """More requests are waited for than this process may keep."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A request whose outcome is waited for.

    Attributes:
        token: names it among those of the same id, which may have other content and another answer.
        outcome: to come.
        sent: done once the broker has the request safe.
    """

    token: str
    outcome: Future[Outcome]
    sent: Future[None]


class Exchange:
    """Publishes requests and matches the outcomes that come back. Thread-safe.

    Args:
        url: of the broker.
        most: requests that may be waited for at once.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(self, url: str, *, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[Outcome]] = {}
        self._reply_to = f"{names.REPLY_QUEUE_PREFIX}{secrets.token_hex(12)}"
        # One thread for both ways: two would want the interpreter's lock of each other.
        thread = AMQPThread("straightline-gateway")
        self._publisher = Publisher(
            url, name="straightline-gateway", confirm_timeout=CONFIRM_PATIENCE, thread=thread
        )
        # Apart from requests: a broker that knows no questions, or refuses them, closes what brings them.
        self._questions = Publisher(
            url, name="straightline-gateway-questions", confirm_timeout=QUESTIONS_LAST, thread=thread
        )
        self._inquiries = Inquiries()
        self._silent_until = 0.0
        self._inbox = Inbox(
            url,
            name="straightline-gateway-results",
            queue=self._reply_to,
            exchange=names.REPLIES,
            on_message=self._arrived,
            thread=thread,
        )

    @property
    def trouble(self) -> str | None:
        """Why no request can be answered now, for people; None where it can."""
        return self._inbox.trouble

    @property
    def losses(self) -> int:
        """How often the connection that brings outcomes was lost, and with it what was pushed meanwhile."""
        return self._inbox.losses

    def submit(
        self,
        request_id: str,
        body: bytes,
        *,
        key: str,
        headers: Mapping[str, Any] | None = None,
        webhook: str | None = None,
    ) -> None:
        """Publish a request that nobody waits for here, and return when the broker has it safe.

        Args:
            request_id: its id.
            body: the message.
            key: routing key.
            headers: trace context.
            webhook: id of the one to be told of its end.

        Raises:
            BrokerUnavailable, Rejected, Unroutable: it is not submitted.
        """
        reply_to = names.WEBHOOK_REPLY_KEY if webhook is not None else None
        self._publish(
            request_id, body, key=key, headers=headers, reply_to=reply_to, correlation_id=webhook
        ).result()

    def ask(
        self, request_id: str, body: bytes, *, key: str, headers: Mapping[str, Any] | None = None
    ) -> Asked:
        """Publish a request whose outcome is wanted here; `forget` it when it is waited for no longer.

        Its futures raise `BrokerUnavailable`, `Rejected` or `Unroutable` where it could not be submitted.

        Raises:
            Full: too many are waited for.
            BrokerUnavailable: outcomes cannot arrive now.
        """
        self._inbox.wait_ready(CONFIRM_PATIENCE)
        token, outcome = new_id(), Future[Outcome]()
        with self._lock:
            if len(self._waiting) >= self._most:
                raise Full(f"{len(self._waiting)} requests wait for their outcome here: try again later")
            self._waiting[token] = outcome
        sent = self._publish(
            request_id, body, key=key, headers=headers, reply_to=self._reply_to, correlation_id=token
        )
        sent.add_done_callback(partial(self._sent, token, outcome))
        return Asked(token, outcome, sent)

    def cancel(self, request_id: str) -> None:
        """Publish the wish that a request be taken back, and return when the broker has it safe.

        Raises:
            BrokerUnavailable, Rejected, Unroutable: it does not.
        """
        self._publisher.publish(wish_message(request_id, new_id())).result()

    @contextmanager
    def inquiry(self, request_id: str) -> Iterator[Inquiry]:
        """Ask where a request is, and hear answers while this is open; raises nothing, answered or not."""
        inquiry = self._inquiries.open()
        try:
            self._inquire(request_id, inquiry)
            yield inquiry
        finally:
            self._inquiries.close(inquiry)

    def forget(self, asked: Asked) -> None:
        """Wait no longer."""
        self._take(asked.token)

    def close(self) -> None:
        """Close the connections."""
        self._publisher.close()
        self._questions.close(QUESTIONS_LAST)
        self._inbox.close()

    def _publish(
        self,
        request_id: str,
        body: bytes,
        *,
        key: str,
        headers: Mapping[str, Any] | None,
        reply_to: str | None,
        correlation_id: str | None,
    ) -> Future[None]:
        message = request_message(
            request_id, body, class_=key, reply_to=reply_to, correlation_id=correlation_id, headers=headers
        )
        return self._publisher.publish(message)

    def _inquire(self, request_id: str, inquiry: Inquiry) -> None:
        if time.monotonic() < self._silent_until:
            inquiry.give_up(REFUSED)
        sent = False
        # A broker that is short of memory takes no questions, but all that were written once it has some.
        if self._inbox.ready and self._questions.trouble is None and not inquiry.over:
            with suppress(StraightLineError):
                sent = self._questions.send_if_room(
                    question_message(request_id, inquiry.token, self._reply_to),
                    partial(self._inquired, inquiry),
                )
        if not sent:
            inquiry.give_up(AWAY)

    def _inquired(self, inquiry: Inquiry, error: Exception | None) -> None:
        if error is None:
            return
        if not isinstance(error, (Rejected, Unroutable)):
            inquiry.give_up(AWAY)
        elif self._questions.trouble is None:
            inquiry.give_up(UNHEARD)
        else:
            inquiry.give_up(REFUSED)
            self._silent_until = time.monotonic() + QUESTIONS_AGAIN

    def _take(self, token: str) -> Future[Outcome] | None:
        with self._lock:
            return self._waiting.pop(token, None)

    def _sent(self, token: str, outcome: Future[Outcome], sent: Future[None]) -> None:
        error = sent.exception()
        if error is not None:
            self._take(token)
            with suppress(InvalidStateError):  # it was answered all the same
                outcome.set_exception(error)

    def _arrived(self, correlation_id: str | None, body: bytes) -> None:
        waiting = self._take(correlation_id or "")
        if waiting is None:
            self._inquiries.hear(correlation_id or "", body)
            return
        with suppress(InvalidStateError):
            try:
                waiting.set_result(_OUTCOME.decode(body))
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
                waiting.set_exception(BrokerUnavailable(f"an outcome could not be read: {error}"))
