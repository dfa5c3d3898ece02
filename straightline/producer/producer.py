"""What both clients are made of: confirmed publishing, pushed results, large data by reference.

Nothing here waits, but for the store, and where a timeout is an argument.
"""

import inspect
import logging
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
from straightline.tracing import headers

logger = logging.getLogger(__name__)

MAX_KEPT_RESULTS: Final = 100_000
MAX_KEPT_BYTES: Final = 256 * 1024 * 1024
CLOSE_TIMEOUT_S: Final = 10.0
"""Seconds that closing waits for outstanding confirms."""


class Producer:
    """The connections and the memory of a client.

    Its arguments are those of `straightline.client.Client`; `inbox`, a secret word for the address of
    results, where None takes a new one; and `gives_up`: whether it fails within seconds where the broker
    refuses user or password from the start, which suits who waits for an answer, not a process that runs on.
    Who comes back with the same word gets what was on its way to the one before.

    Attributes:
        publisher: sends requests.
        inbox: takes results; None where none are asked for.
        results: those that came.
        store: of large data; None where there is none.
        errands: what must not hold up the connections' threads.
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
        inbox: str | None = None,
        gives_up: bool = False,
    ) -> None:
        if not 0 < confirm_timeout <= threading.TIMEOUT_MAX:
            raise ConfigurationError(
                f"confirm_timeout is a number of seconds above 0; {confirm_timeout} is none"
            )
        self.store = Store(store) if isinstance(store, str) else store
        self.results = ResultBuffer(kept_results, MAX_KEPT_BYTES)
        self.errands = BackgroundWorker("straightline-client-store")
        self._inputs = StoredInputs(self.store, self.errands, keep=keep_inputs or not replies)
        self._reply_to = f"{names.REPLY_QUEUE_PREFIX}{inbox or new_reply_address()}" if replies else None
        self.publisher = Publisher(
            url, name="straightline-client", confirm_timeout=confirm_timeout, window=window, gives_up=gives_up
        )
        self.inbox: ReplyQueue | None = None
        if self._reply_to is not None:
            self.inbox = self._open_inbox(url, self._reply_to, gives_up=gives_up)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(CLOSE_TIMEOUT_S)

    def compose(self, submission: Submission) -> tuple[Request, Outgoing]:
        """Make the request and its message; writes to the store where the data is large.

        Raises:
            ContractError, Rejected, StoreUnavailable: as `straightline.producer.submission.compose`.
        """
        draft = compose(submission, store=self.store, now=time.time())
        return draft.request, self.message(submission, draft)

    def prepare(self, submission: Submission) -> Draft:
        """Make the request, but for large data to be stored; no I/O.

        Raises:
            ContractError, Rejected: as `compose`.
        """
        return prepare(submission, by_reference=self.store is not None, now=time.time())

    def message(self, submission: Submission, draft: Draft) -> Outgoing:
        """Return the message of a complete draft.

        Raises:
            ContractError: the trace context is none.
        """
        request = draft.request
        if submission.id or submission.idempotency_key:
            # What came for an earlier one of the same id is no answer to this, which may have other content.
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
        """Return the message that takes a request back, and the id that the answer to it has.

        Args:
            request_id: of the request.
            answered: whether the scheduler shall say what it knows of it.

        Raises:
            ContractError: `request_id` is not a UUID.
        """
        answer = new_id()
        reply_to = self._reply_to if answered else None
        return answer, cancel_message(_checked(request_id), answer, reply_to=reply_to)

    def require_replies(self, request_id: str) -> str:
        """Return the id in its canonical form, where its result can be waited for.

        Raises:
            ContractError: it is not a UUID.
            ConfigurationError: this client asks for no results.
        """
        identity = _checked(request_id)
        if self.inbox is None:
            raise ConfigurationError("this client asks for no results: make it without replies=False")
        return identity

    def resolve(self, outcome: Outcome) -> Outcome:
        """Fetch a result that lies in the store, its size and digest checked; blocks meanwhile.

        Raises:
            StoreNotGiven: the client has no store.
            ContractError: what lies there is not the result.
            StoreUnavailable: the store could not be read.
        """
        if outcome.result_ref is None:
            return outcome
        if self.store is None:
            raise StoreNotConfigured(outcome.result_ref.uri)
        outcome.result = msgspec.Raw(self.store.get(outcome.result_ref))
        return outcome

    def no_result(self, request_ids: list[str], timeout: float | None) -> ResultTimeout:
        """Return the error that says that results did not come in time, and why that may be."""
        of = request_ids[0] if len(request_ids) == 1 else f"{len(request_ids)} requests"
        within = "before the client was closed" if timeout is None else f"within {timeout:g} s"
        text = f"no result of {of} came {within}; it may still come"
        if self.inbox is not None and self.inbox.trouble:
            text += f". There is no connection to take results from now ({self.inbox.trouble})"
        if self.results.dropped:
            text += f". {self.results.dropped} results were dropped since too many were not read"
        return ResultTimeout(
            text + ". To have a lost one sent again, submit the request again with the same id", request_ids
        )

    def close(self, timeout: float) -> None:
        """Wait for outstanding confirms, `timeout` seconds at most, and close the connections."""
        self.publisher.close(timeout)
        if self.inbox is not None:
            self.inbox.close()
        self.results.close()
        self.errands.close(timeout)

    def _open_inbox(self, url: str, queue: str, *, gives_up: bool) -> ReplyQueue:
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
            logger.warning("a result without the id of a request was dropped")
            return
        self.results.put(identity, body)
        self._inputs.ended(identity, body)


def new_reply_address() -> str:
    """Return a word for the address of results that nobody guesses."""
    return secrets.token_hex(12)


def _checked(request_id: str) -> str:
    identity = canonical(request_id)
    if identity is None:
        raise ContractError(f"id {request_id!r} is not a UUID", error_class="wrong_type")
    return identity


def decode_outcome(body: bytes) -> Outcome:
    """Read an outcome as it was pushed.

    Raises:
        ContractError: it is none.
    """
    try:
        return decode(body, Outcome)
    except ContractError as error:
        raise ContractError(
            f"the result cannot be read: {error}; are client and system of one version?"
        ) from error


def decode_cancel_result(body: bytes) -> CancelResult:
    """Read what became of the wish to take a request back.

    Raises:
        ContractError: it cannot be read.
    """
    try:
        return decode(body, CancelAnswer).verdict
    except ContractError as error:
        raise ContractError(f"the answer to a cancellation cannot be read: {error}") from error


OnResult = Callable[[Outcome], object]
"""What a user has called with an outcome."""


def check_callback(on_result: OnResult) -> OnResult:
    """Return what is to be called with an outcome.

    Raises:
        ContractError: it cannot be called, or would have to be awaited, which nobody does.
    """
    if not callable(on_result) or inspect.iscoroutinefunction(on_result):
        raise ContractError(
            "on_result is a function that is called with the outcome, not awaited: it is no `async def`, but "
            "may start a task",
            error_class="wrong_type",
        )
    return on_result
