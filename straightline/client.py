"""The blocking client: submits requests and receives their results."""

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, Unpack

from straightline.contracts.cancel import CancelResult
from straightline.contracts.outcome import Outcome
from straightline.errors import BrokerUnavailable, StraightLineError
from straightline.producer.background import BackgroundWorker
from straightline.producer.producer import (
    MAX_KEPT_RESULTS,
    OnResult,
    Producer,
    check_callback,
    decode_cancel_result,
    decode_outcome,
)
from straightline.producer.submission import Data, Options, Submission, submission_of
from straightline.producer.submission_batch import BatchTracker
from straightline.storage.store import Store
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)


class Client:
    """Submits requests to StraightLine and receives their results, over AMQP only.

    Threads may share a client; create it in the process that uses it, after any fork. It reconnects by
    itself, and closes at the end of a `with` block. For asyncio use `straightline.aio.AsyncClient`.

    Results are pushed to a queue that exists as long as the client's connection. A result pushed while the
    connection was lost is not pushed again: submit the same request with the same id, and the first outcome
        is
    returned without a second computation.

    Args:
        url: broker URL, `amqp://user:password@host:port/vhost`.
        store: URL of the store (or a `Store`) for data above 256 KiB, which the workers must be able to read.
            Without a store, data up to 16 MiB is sent inline.
        confirm_timeout: seconds until an unconfirmed request fails with `BrokerUnavailable`.
        window: unconfirmed requests at most.
        replies: False receives no results, for a producer that never calls `result`.
        kept_results: results kept for `result` at most, and 256 MiB; beyond that the oldest are dropped,
            those already read first.
        keep_inputs: whether stored data stays when its request has ended. By default the client removes it
            then; `straightline sweep` removes what a client that ended earlier left behind.

    Raises:
        ConfigurationError: `url`, `store` or `confirm_timeout` is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        store: str | Store | None = None,
        confirm_timeout: float = 30.0,
        window: int = 4096,
        replies: bool = True,
        kept_results: int = MAX_KEPT_RESULTS,
        keep_inputs: bool = False,
    ) -> None:
        self._confirm_timeout = confirm_timeout
        self._callbacks = BackgroundWorker("straightline-client-callbacks")
        self._producer = Producer(
            url,
            store=store,
            confirm_timeout=confirm_timeout,
            window=window,
            replies=replies,
            kept_results=kept_results,
            keep_inputs=keep_inputs,
            gives_up=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self, model: str, data: Data, *, on_result: OnResult | None = None, **options: Unpack[Options]
    ) -> str:
        """Submit one request and return its id once the broker has confirmed it.

        Args:
            model: the model's name.
            data: arrays by tensor name, `{"images": array}`; or a V2 infer request, as a mapping, as JSON, or
                as `straightline.contracts.InferRequest`.
            on_result: called with the outcome when it arrives, on a thread for callbacks; its exceptions are
                logged.
            options: `version` of the model (default: the deployed default or canary), `class_`
                (`interactive`, or `batch` for work that may wait for free resources), `deadline` in seconds
                from now (default: 60 for `interactive`, 86,400 for `batch`), `allow` (allowlist of backends),
                `id` (UUID) or `idempotency_key` (your own text): submitting it again returns the first
                outcome, `batch_id` (the batch job it belongs to), `trace` (`traceparent` and `tracestate`;
                default: OpenTelemetry's current context).

        Raises:
            ContractError: an argument or the data is invalid; nothing was sent.
            Rejected: the request is too large (nothing was sent), or the broker refused it.
            Unroutable: the broker has no queue for requests.
            BrokerUnavailable: the broker did not confirm the request in time; submit it again with the same
                id, which is the error's `request_id`.
            StoreUnavailable: the store could not be written; nothing was sent.
        """
        request, message = self._producer.compose(Submission(model=model, data=data, **options))
        try:
            self._wait_for_replies()
            if on_result is not None:
                self.call_back(request.id, on_result)
            self._producer.publisher.publish(message).result()
        except BrokerUnavailable as error:
            error.request_id = request.id
            raise
        return request.id

    def submit_many(
        self, requests: Iterable[Submission | Mapping[str, Any]], *, on_result: OnResult | None = None
    ) -> list[str]:
        """Submit many requests without waiting for each confirm, and return their ids in order.

        Args:
            requests: `Submission`s, or mappings of the arguments of `submit`; consumed one at a time, so that
                it may be a generator of any length.
            on_result: as in `submit`, for each request.

        Raises:
            PartlySubmitted: some requests failed; it has the reason of each and the ids of all. Once the
                broker is unavailable, the rest of the input is not consumed.
        """
        tracker = BatchTracker()
        for item in requests:
            self._send_one(item, tracker, on_result)
            if tracker.stop_if_unavailable():
                break
        return tracker.close()

    def result(self, id: str, timeout: float = 60.0) -> Outcome:  # noqa: A002 - the contract's word
        """Return the outcome of a request of this client as soon as it is pushed.

        A request that failed, expired or was rejected returns an outcome too: see `Outcome.state`.
        `Outcome.outputs()` returns the answer as numpy arrays. A result in the store is read into
        `Outcome.result`, and its digest checked.

        Args:
            id: UUID of the request.
            timeout: seconds to wait; 0 does not wait.

        Raises:
            ResultTimeout: no outcome arrived in time.
            ContractError: the outcome cannot be decoded, or `id` is not a UUID.
            ConfigurationError: the client receives no results, or has no store and the result is in one
                (`StoreNotConfigured`).
            StoreUnavailable: the store could not be read.
        """
        identity = self._producer.require_replies(id)
        body = self._producer.results.wait(identity, timeout)
        if body is None:
            raise self._producer.no_result([identity], timeout)
        return self._producer.resolve(decode_outcome(body))

    def future(self, id: str) -> Future[Outcome]:  # noqa: A002 - the contract's word
        """Return a future of the outcome of a request of this client.

        The future raises what `result` raises, and `ResultTimeout` when the client is closed first. Its
        callbacks must not block. Cancelling the future does not cancel the request; see `cancel`.

        Raises:
            ContractError, ConfigurationError: as `result`.
        """
        identity = self._producer.require_replies(id)
        future: Future[Outcome] = Future()

        def arrived(body: bytes | None) -> None:
            if body is None:
                _fail(future, self._producer.no_result([identity], None))
            else:
                self._fulfil(future, body)

        body = self._producer.results.ask(identity, arrived)
        if body is not None:
            arrived(body)
        return future

    def call_back(self, id: str, on_result: OnResult) -> None:  # noqa: A002 - the contract's word
        """Call `on_result` with the outcome of a request when it arrives, as `submit` does.

        Raises:
            ContractError, ConfigurationError: as `result`; or `on_result` is not callable.
        """
        check_callback(on_result)

        def arrived(done: Future[Outcome]) -> None:
            error = done.exception()
            if error is None:
                self._callbacks.run(lambda: on_result(done.result()))
            else:
                logger.warning("callback_not_called", request_id=id, error=error)

        self.future(id).add_done_callback(arrived)

    def as_completed(self, ids: Iterable[str], timeout: float | None = None) -> Iterator[Outcome]:
        """Yield the outcomes of requests of this client in the order of their arrival.

        Args:
            ids: UUIDs of the requests; a repeated id is yielded once.
            timeout: seconds for all outcomes; None waits without limit.

        Raises:
            ResultTimeout: some outcomes did not arrive in time; `request_ids` names them.
            ContractError, ConfigurationError, StoreUnavailable: as `result`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        arrived: SimpleQueue[tuple[str, bytes | None]] = SimpleQueue()
        calls = {
            identity: _put_labelled(identity, arrived)
            for identity in map(self._producer.require_replies, ids)
        }
        results = self._producer.results
        try:
            for identity, call in calls.items():
                body = results.ask(identity, call)
                if body is not None:
                    call(body)
            while calls:
                identity, body = _next(arrived, deadline)
                if body is None:
                    raise self._producer.no_result(list(calls), timeout)
                del calls[identity]
                yield self._producer.resolve(decode_outcome(body))
        finally:
            for identity, call in calls.items():
                results.give_up(identity, call)

    def cancel(self, id: str, timeout: float = 5.0) -> CancelResult | None:  # noqa: A002 - the contract's word
        """Cancel a request, whichever client submitted it; return once the broker has confirmed the message.

        A request that has not run ends `cancelled`, even if components are down now. A running one ends with
        its result or `cancelled`, whichever is first. A request that has ended is not affected.

        Args:
            id: UUID of the request.
            timeout: seconds to wait for the scheduler's answer after the confirm; 0 does not wait.

        Returns:
            `cancelled`: the request has ended so. `noted`: it is in progress and will be cancelled unless a
            result arrives first. `ended`: it had already ended. `unknown`: the scheduler does not know it; it
            will be cancelled if it arrives. None: no answer in time (the cancellation is effective all the
            same), or a client without replies.

        Raises:
            ContractError: `id` is not a UUID.
            Unroutable: the broker has no queue for cancellations.
            BrokerUnavailable: the broker did not confirm the message in time; cancel again.
        """
        answer, message = self._producer.cancel_request(id)
        self._wait_for_replies()
        self._producer.publisher.publish(message).result()
        if self._producer.reply_queue is None:
            return None
        body = self._producer.results.wait(answer, timeout)
        return None if body is None else decode_cancel_result(body)

    def close(self, timeout: float = 10.0) -> None:
        """Wait for outstanding confirms, `timeout` seconds at most, and close the connections."""
        self._producer.close(timeout)
        self._callbacks.close(timeout)

    def _send_one(
        self, item: Submission | Mapping[str, Any], tracker: BatchTracker, on_result: OnResult | None
    ) -> None:
        try:
            request, message = self._producer.compose(submission_of(item))
        except StraightLineError as error:
            tracker.skip(error)
            return
        settled = tracker.add(request.id)
        try:
            self._wait_for_replies()
            if on_result is not None:
                self.call_back(request.id, on_result)
            self._producer.publisher.send(message, settled)
        except StraightLineError as error:
            tracker.fail_last(error)

    def _wait_for_replies(self) -> None:
        """Wait until results can arrive: one pushed before its queue exists would be lost."""
        reply_queue = self._producer.reply_queue
        if reply_queue is not None and not reply_queue.ready:
            reply_queue.wait_ready(self._confirm_timeout)

    def _fulfil(self, future: Future[Outcome], body: bytes) -> None:
        """Complete a future with an outcome, whose result is read from the store if it is there."""
        try:
            outcome = decode_outcome(body)
        except StraightLineError as error:
            _fail(future, error)
            return
        if outcome.result_ref is None:
            _settle(future, outcome)
            return

        def fetch() -> None:
            try:
                _settle(future, self._producer.resolve(outcome))
            except StraightLineError as error:
                _fail(future, error)

        if not self._producer.worker.run(fetch):
            _fail(future, self._producer.no_result([outcome.request_id], None))


def _put_labelled(identity: str, into: SimpleQueue[tuple[str, bytes | None]]) -> Any:
    return lambda body: into.put((identity, body))


def _next(arrived: SimpleQueue[tuple[str, bytes | None]], deadline: float | None) -> tuple[str, bytes | None]:
    try:
        if deadline is None:
            return arrived.get()
        return arrived.get(timeout=max(0.0, deadline - time.monotonic()))
    except Empty:
        return "", None


def _settle(future: Future[Outcome], outcome: Outcome) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(outcome)


def _fail(future: Future[Outcome], error: Exception) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)
