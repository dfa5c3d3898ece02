"""The shared core of both clients: publishing, pushed results, large data by reference.

Nothing here blocks except the store, and methods with a timeout.
"""

import inspect
import secrets
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import msgspec

from straightline import names
from straightline.amqp.consuming.reply_queue import ReplyQueue
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts.cancel import CancelAnswer, CancelResult
from straightline.contracts.outcome import Outcome
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import Request
from straightline.errors import ConfigurationError, ContractError, ResultTimeout, StoreNotConfigured
from straightline.ids import canonical, new_id
from straightline.messages.requests import cancel_message, request_message
from straightline.producer.background import BackgroundWorker
from straightline.producer.results import ResultBuffer
from straightline.producer.stored_inputs import StoredInputs
from straightline.producer.submission import Draft, Submission, compose, prepare
from straightline.storage.store import Store
from straightline.support.event_log import EventLogger
from straightline.tracing import headers

logger = EventLogger(__name__)

MAX_KEPT_RESULTS: Final = 100_000
MAX_KEPT_BYTES: Final = 256 * 1024 * 1024
CLOSE_TIMEOUT_S: Final = 10.0
"""For outstanding confirms."""


class Producer:
    """The connections and results of a client.

    Args:
        url, store, confirm_timeout, window, replies, kept_results, keep_inputs: see
            `straightline.client.Client`.
        reply_address: secret suffix of the reply queue's name; None draws one. A producer that starts again
            with the same address receives the results that were in flight to the one before.
        gives_up: whether to fail within seconds when the broker refuses user or password from the start. This
            suits an interactive caller, not a long-running process.

    Attributes:
        publisher: publishes requests.
        reply_queue: receives results; None without replies.
        results: the results that have arrived.
        store: for large data, or None.
        worker: runs what must not block the connections' threads.
    """

    def __init__(
        self,
        url: str,
        *,
        store: str | Store | None,
        confirm_timeout: float,
        window: int,
        replies: bool,
        kept_results: int,
        keep_inputs: bool,
        reply_address: str | None = None,
        gives_up: bool = False,
    ) -> None:
        if not 0 < confirm_timeout <= threading.TIMEOUT_MAX:
            raise ConfigurationError(
                f"confirm_timeout is invalid: {confirm_timeout}. Give a number of seconds above 0"
            )
        self.store = Store(store) if isinstance(store, str) else store
        self.results = ResultBuffer(kept_results, MAX_KEPT_BYTES)
        self.worker = BackgroundWorker("straightline-client-store")
        self._inputs = StoredInputs(self.store, self.worker, keep=keep_inputs or not replies)
        address = reply_address or new_reply_address()
        self._reply_to = f"{names.REPLY_QUEUE_PREFIX}{address}" if replies else None
        self.publisher = Publisher(
            url, name="straightline-client", confirm_timeout=confirm_timeout, window=window, gives_up=gives_up
        )
        self.reply_queue: ReplyQueue | None = None
        if self._reply_to is not None:
            self.reply_queue = self._open_reply_queue(url, self._reply_to, gives_up=gives_up)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(CLOSE_TIMEOUT_S)

    def compose(self, submission: Submission) -> tuple[Request, Outgoing]:
        """Return the request and its message; large data is written to the store.

        Raises:
            ContractError, Rejected, StoreUnavailable: as `straightline.producer.submission.compose`.
        """
        draft = compose(submission, store=self.store, now=time.time())
        return draft.request, self.message(submission, draft)

    def prepare(self, submission: Submission) -> Draft:
        """Return the request without storing large data.

        Raises:
            ContractError, Rejected: as `compose`.
        """
        return prepare(submission, by_reference=self.store is not None, now=time.time())

    def message(self, submission: Submission, draft: Draft) -> Outgoing:
        """Return the message of a draft whose data is stored.

        Raises:
            ContractError: the trace context is invalid.
        """
        request = draft.request
        if submission.id or submission.idempotency_key:
            # A result of an earlier request with this id does not answer this one, which may have other data.
            self.results.forget(request.id)
        if request.data_ref is not None:
            self._inputs.stored(request.id, request.data_ref)
        return request_message(
            request.id,
            draft.body,
            class_=request.class_,
            reply_to=self._reply_to,
            headers=headers(submission.trace),
        )

    def cancel_request(self, request_id: str, *, answered: bool = True) -> tuple[str, Outgoing]:
        """Return the id of the scheduler's answer and the message that cancels a request.

        Args:
            request_id: UUID of the request.
            answered: whether the scheduler answers.

        Raises:
            ContractError: `request_id` is not a UUID.
        """
        answer = new_id()
        reply_to = self._reply_to if answered else None
        return answer, cancel_message(_checked(request_id), answer, reply_to=reply_to)

    def require_replies(self, request_id: str) -> str:
        """Return the canonical id of a request whose result is to be awaited.

        Raises:
            ContractError: it is not a UUID.
            ConfigurationError: this client receives no results.
        """
        identity = _checked(request_id)
        if self.reply_queue is None:
            raise ConfigurationError("this client receives no results: create it without replies=False")
        return identity

    def resolve(self, outcome: Outcome) -> Outcome:
        """Read a result from the store and check its size and digest; blocks meanwhile.

        Raises:
            StoreNotConfigured: the client has no store.
            ContractError: the stored bytes are not the result.
            StoreUnavailable: the store could not be read.
        """
        if outcome.result_ref is None:
            return outcome
        if self.store is None:
            raise StoreNotConfigured(outcome.result_ref.uri)
        outcome.result = msgspec.Raw(self.store.get(outcome.result_ref))
        return outcome

    def no_result(self, request_ids: list[str], timeout: float | None) -> ResultTimeout:
        """Return the error for results that did not arrive in time, with possible causes."""
        of = request_ids[0] if len(request_ids) == 1 else f"{len(request_ids)} requests"
        within = "before the client was closed" if timeout is None else f"within {timeout:g} s"
        text = f"no result of {of} arrived {within}; it may still arrive"
        if self.reply_queue is not None and self.reply_queue.trouble:
            text += f". The connection for results is down ({self.reply_queue.trouble})"
        if self.results.dropped:
            text += (
                f". {self.results.dropped} unread results were dropped: read faster, or raise kept_results"
            )
        return ResultTimeout(
            text + ". To receive a lost result, submit the request again with the same id", request_ids
        )

    def close(self, timeout: float) -> None:
        """Wait for outstanding confirms, `timeout` seconds at most, and close the connections."""
        self.publisher.close(timeout)
        if self.reply_queue is not None:
            self.reply_queue.close()
        self.results.close()
        self.worker.close(timeout)

    def _open_reply_queue(self, url: str, queue: str, *, gives_up: bool) -> ReplyQueue:
        return ReplyQueue(
            url,
            name="straightline-client-results",
            queue=queue,
            exchange=names.REPLIES,
            on_message=self._arrived,
            gives_up=gives_up,
        )

    def _arrived(self, correlation_id: str | None, body: bytes) -> None:
        identity = canonical(correlation_id or "")
        if identity is None:
            logger.warning("reply_without_request_id")
            return
        self.results.put(identity, body)
        self._inputs.ended(identity, body)


def new_reply_address() -> str:
    """Return a random, secret address for results."""
    return secrets.token_hex(12)


def _checked(request_id: str) -> str:
    identity = canonical(request_id)
    if identity is None:
        raise ContractError(f"id {request_id!r} is not a UUID", error_class="wrong_type")
    return identity


def decode_outcome(body: bytes) -> Outcome:
    """Decode a pushed outcome.

    Raises:
        ContractError: it is malformed.
    """
    try:
        return decode(body, Outcome)
    except ContractError as error:
        raise ContractError(
            f"the outcome cannot be decoded: {error}. Check that client and system have the same version"
        ) from error


def decode_cancel_result(body: bytes) -> CancelResult:
    """Decode the scheduler's answer to a cancellation.

    Raises:
        ContractError: it is malformed.
    """
    try:
        return decode(body, CancelAnswer).verdict
    except ContractError as error:
        raise ContractError(f"the answer to a cancellation cannot be decoded: {error}") from error


OnResult = Callable[[Outcome], object]
"""A caller's function for an outcome."""


def check_callback(on_result: OnResult) -> OnResult:
    """Return a callback for outcomes after checking it.

    Raises:
        ContractError: it is not callable, or is a coroutine function, which would never be awaited.
    """
    if not callable(on_result) or inspect.iscoroutinefunction(on_result):
        raise ContractError(
            "on_result is invalid: it must be a plain function, not `async def`; it may start a task",
            error_class="wrong_type",
        )
    return on_result
