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

from gateway.http.requests.status_client import (
    AWAY,
    REFUSED,
    UNHEARD,
    PendingQueries,
    PendingQuery,
    status_query_message,
)
from straightline import names
from straightline.amqp import Publisher
from straightline.amqp.connection.loop_thread import AMQPThread
from straightline.amqp.consuming.reply_queue import ReplyQueue
from straightline.contracts import Outcome
from straightline.contracts.parsing.decoding import decode
from straightline.errors import BrokerUnavailable, ContractError, Rejected, StraightLineError, Unroutable
from straightline.ids import new_id
from straightline.messages import request_message, wish_message

CONFIRM_TIMEOUT_S: Final = 10.0
"""Seconds that a caller is kept waiting for a broker that does not answer."""
QUERY_TTL_S: Final = 1.0
"""Seconds after which a question that the broker does not take is thrown away."""
QUERY_RETRY_INTERVAL_S: Final = 30.0
"""Seconds for which none are asked where the broker refuses them: each one costs a connection."""


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
        # Apart from requests: a broker that knows no questions, or refuses them, closes what brings them.
        self._query_publisher = Publisher(
            url, name="straightline-gateway-questions", confirm_timeout=QUERY_TTL_S, thread=thread
        )
        self._queries = PendingQueries()
        self._silent_until = 0.0
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

    @contextmanager
    def status_query(self, request_id: str) -> Iterator[PendingQuery]:
        """Ask where a request is, and hear answers while this is open; raises nothing, answered or not."""
        query = self._queries.open()
        try:
            self._send_query(request_id, query)
            yield query
        finally:
            self._queries.close(query)

    def discard(self, pending: PendingOutcome) -> None:
        """Wait no longer."""
        self._take(pending.token)

    def close(self) -> None:
        """Close the connections."""
        self._publisher.close()
        self._query_publisher.close(QUERY_TTL_S)
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

    def _send_query(self, request_id: str, query: PendingQuery) -> None:
        if time.monotonic() < self._silent_until:
            query.give_up(REFUSED)
        sent = False
        # A broker that is short of memory takes no questions, but all that were written once it has some.
        if self._inbox.ready and self._query_publisher.trouble is None and not query.over:
            with suppress(StraightLineError):
                sent = self._query_publisher.send_if_room(
                    status_query_message(request_id, query.token, self._reply_to),
                    partial(self._query_sent, query),
                )
        if not sent:
            query.give_up(AWAY)

    def _query_sent(self, query: PendingQuery, error: Exception | None) -> None:
        if error is None:
            return
        if not isinstance(error, (Rejected, Unroutable)):
            query.give_up(AWAY)
        elif self._query_publisher.trouble is None:
            query.give_up(UNHEARD)
        else:
            query.give_up(REFUSED)
            self._silent_until = time.monotonic() + QUERY_RETRY_INTERVAL_S

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
            self._queries.hear(correlation_id or "", body)
            return
        with suppress(InvalidStateError):
            try:
                waiting.set_result(decode(body, Outcome))
            except ContractError as error:
                waiting.set_exception(BrokerUnavailable(f"an outcome could not be read: {error}"))
