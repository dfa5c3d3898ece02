"""Requests and questions out, outcomes and answers in, pushed; each waiting thread gets its own."""

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
from straightline.messages import request_message, wish_message

CONFIRM_TIMEOUT_S: Final = 10.0
"""Seconds that a caller is kept waiting for a broker that does not answer."""


class TooManyPending(BrokerUnavailable):
    """More requests are waited for than this process may keep."""


@dataclass(frozen=True, slots=True, eq=False)
class PendingOutcome:
    """A request whose outcome is waited for.

    Attributes:
        token: names it among those of the same id, which may have other content and another answer.
        outcome: to come.
        sent: done once the broker has the request safe.
    """

    token: str
    outcome: Future[Outcome]
    sent: Future[None]


class BrokerClient:
    """Publishes requests and matches the outcomes that come back. Thread-safe.

    Args:
        url: of the broker.
        max_pending: requests that may be waited for at once.

    Raises:
        ConfigurationError: `url` is not an AMQP URL.
    """

    def __init__(self, url: str, *, max_pending: int) -> None:
        self._max_pending = max_pending
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[Outcome]] = {}
        self._reply_to = f"{names.REPLY_QUEUE_PREFIX}{secrets.token_hex(12)}"
        # One thread for both ways: two would want the interpreter's lock of each other.
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
        """Why no request can be answered now, for people; None where it can."""
        return self._inbox.trouble

    @property
    def connection_losses(self) -> int:
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

    def submit_for_outcome(
        self, request_id: str, body: bytes, *, key: str, headers: Mapping[str, Any] | None = None
    ) -> PendingOutcome:
        """Publish a request whose outcome is wanted here; `discard` it when it is waited for no longer.

        Its futures raise `BrokerUnavailable`, `Rejected` or `Unroutable` where it could not be submitted.

        Raises:
            TooManyPending: too many are waited for.
            BrokerUnavailable: outcomes cannot arrive now.
        """
        self._inbox.wait_ready(CONFIRM_TIMEOUT_S)
        token, outcome = new_id(), Future[Outcome]()
        with self._lock:
            if len(self._waiting) >= self._max_pending:
                raise TooManyPending(
                    f"{len(self._waiting)} requests wait for their outcome here: try again later"
                )
            self._waiting[token] = outcome
        sent = self._publish(
            request_id, body, key=key, headers=headers, reply_to=self._reply_to, correlation_id=token
        )
        sent.add_done_callback(partial(self._sent, token, outcome))
        return PendingOutcome(token, outcome, sent)

    def cancel(self, request_id: str) -> None:
        """Publish the wish that a request be taken back, and return when the broker has it safe.

        Raises:
            BrokerUnavailable, Rejected, Unroutable: it does not.
        """
        self._publisher.publish(wish_message(request_id, new_id())).result()

    def discard(self, pending: PendingOutcome) -> None:
        """Wait no longer."""
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
            with suppress(InvalidStateError):  # it was answered all the same
                outcome.set_exception(error)

    def _arrived(self, correlation_id: str | None, body: bytes) -> None:
        waiting = self._take(correlation_id or "")
        if waiting is None:
            return
        with suppress(InvalidStateError):
            try:
                waiting.set_result(decode(body, Outcome))
            except ContractError as error:
                waiting.set_exception(BrokerUnavailable(f"an outcome could not be read: {error}"))
