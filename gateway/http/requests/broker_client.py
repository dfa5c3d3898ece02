"""Publishing of requests, and matching of the outcomes that are pushed back."""

import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from straightline import names
from straightline.amqp import Publisher
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.amqp.consuming.reply_queue import ReplyQueue
from straightline.contracts import Outcome
from straightline.contracts.parsing.decoding import decode
from straightline.errors import BrokerUnavailable, ContractError
from straightline.ids import new_id
from straightline.messages.requests import cancel_message, request_message

CONFIRM_TIMEOUT_S: Final = 10.0
"""Longest time that a caller waits for an unresponsive broker."""


class TooManyPending(BrokerUnavailable):
    """Too many requests of this process wait for their outcome."""


@dataclass(frozen=True, slots=True, eq=False)
class PendingOutcome:
    """A published request whose outcome is awaited.

    Attributes:
        token: correlation id; several requests may have the same id but different content and outcomes.
        outcome: done when the outcome arrives.
        sent: done when the broker has confirmed the request.
    """

    token: str
    outcome: Future[Outcome]
    sent: Future[None]


class BrokerClient:
    """Publishes requests and matches their outcomes. Thread-safe.

    Args:
        url: AMQP URL of the broker.
        max_pending: maximum of requests that wait for their outcome.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(self, url: str, *, max_pending: int) -> None:
        self._max_pending = max_pending
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[Outcome]] = {}
        self._reply_to = f"{names.REPLY_QUEUE_PREFIX}{secrets.token_hex(12)}"
        # One thread for both directions: two would contend for the GIL.
        thread = AMQPThread("straightline-gateway")
        self._publisher = Publisher(
            url, name="straightline-gateway", confirm_timeout=CONFIRM_TIMEOUT_S, thread=thread
        )
        self._inbox = ReplyQueue(
            url,
            name="straightline-gateway-results",
            queue=self._reply_to,
            exchange=names.REPLIES,
            on_message=self._arrived,
            thread=thread,
        )

    @property
    def unavailable_reason(self) -> str | None:
        """Why outcomes cannot arrive now, as a sentence; None if they can."""
        return self._inbox.trouble

    @property
    def connection_losses(self) -> int:
        """Number of times that the connection for outcomes, and outcomes in flight, were lost."""
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
        """Publish a request and wait for the broker's confirmation.

        Args:
            request_id: id of the request.
            body: the message.
            key: routing key.
            headers: trace context.
            webhook: id of the webhook to notify of the outcome.

        Raises:
            BrokerUnavailable, Rejected, Unroutable: the broker did not take it.
        """
        reply_to = names.WEBHOOK_REPLY_KEY if webhook is not None else None
        self._publish(
            request_id, body, key=key, headers=headers, reply_to=reply_to, correlation_id=webhook
        ).result()

    def submit_for_outcome(
        self, request_id: str, body: bytes, *, key: str, headers: Mapping[str, Any] | None = None
    ) -> PendingOutcome:
        """Publish a request and return futures of its outcome and confirmation; `discard` it after use.

        The futures raise `BrokerUnavailable`, `Rejected` or `Unroutable` if the broker did not take it.

        Raises:
            TooManyPending: the maximum of waiting requests is reached.
            BrokerUnavailable: outcomes cannot arrive now.
        """
        self._inbox.wait_ready(CONFIRM_TIMEOUT_S)
        token, outcome = new_id(), Future[Outcome]()
        with self._lock:
            if len(self._waiting) >= self._max_pending:
                raise TooManyPending(f"{len(self._waiting)} requests wait for their outcome: try again later")
            self._waiting[token] = outcome
        sent = self._publish(
            request_id, body, key=key, headers=headers, reply_to=self._reply_to, correlation_id=token
        )
        sent.add_done_callback(partial(self._sent, token, outcome))
        return PendingOutcome(token, outcome, sent)

    def cancel(self, request_id: str) -> None:
        """Publish the cancellation of a request and wait for the broker's confirmation.

        Raises:
            BrokerUnavailable, Rejected, Unroutable: the broker did not take it.
        """
        self._publisher.publish(cancel_message(request_id, new_id())).result()

    def discard(self, pending: PendingOutcome) -> None:
        """Stop waiting for an outcome."""
        self._take(pending.token)

    def close(self) -> None:
        """Close the connections."""
        self._publisher.close()
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

    def _take(self, token: str) -> Future[Outcome] | None:
        with self._lock:
            return self._waiting.pop(token, None)

    def _sent(self, token: str, outcome: Future[Outcome], sent: Future[None]) -> None:
        error = sent.exception()
        if error is not None:
            self._take(token)
            with suppress(InvalidStateError):  # the outcome arrived nevertheless
                outcome.set_exception(error)

    def _arrived(self, correlation_id: str | None, body: bytes) -> None:
        waiting = self._take(correlation_id or "")
        if waiting is None:
            return
        with suppress(InvalidStateError):
            try:
                waiting.set_result(decode(body, Outcome))
            except ContractError as error:
                waiting.set_exception(BrokerUnavailable(f"the outcome is unreadable: {error}"))
