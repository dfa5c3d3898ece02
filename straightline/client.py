"""The producer's client: submit requests, and take their results as they are pushed."""

import logging
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

logger = logging.getLogger(__name__)


class Client:
    """Submits requests to StraightLine and takes their results, over AMQP alone.

    One client may be used by many threads; make it in the process that uses it, after any fork. As a context
    manager it is closed at the end. It reconnects by itself. For asyncio there is `straightline.aio`.

    Results are pushed to a queue that belongs to the client's connection. What was pushed while that
    connection was lost does not come again by itself: submit the same request with the same id, and the
    system answers with the first outcome without computing it anew.

    Args:
        url: of the broker, `amqp://user:password@host:port/vhost`.
        store: URL of the store that takes data above 256 KiB (or a `Store`); the workers must read the same
            one. Without one, data travels inline up to 16 MiB.
        confirm_timeout: seconds until a request that the broker did not confirm counts as not submitted.
        window: requests that may be unconfirmed at once.
        replies: False asks for no results, for a producer that never calls `result`.
        kept_results: results that are kept for `result`, 256 MiB of them at most; over that the oldest go,
            those that were read already first.
        keep_inputs: leave data in the store when its request has ended. Without this the client removes it
            then; what it cannot remove since it ended first, `straightline sweep` does.

    Raises:
        ConfigurationError: `url`, `store` or `confirm_timeout` cannot be used.
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
        """Submit one request and return its id once the broker has it safe.

        Args:
            model: the model's name.
            data: arrays by the names of their tensors, `{"images": array}`; or a V2 infer request, as a
                mapping, as JSON, or as `straightline.contracts.InferRequest`.
            on_result: called with the outcome when it comes, on a thread for such calls; what it raises is
                logged.
            options: `version` (of the model; None leaves it to the system), `class_` (`interactive`, or
                `batch` for work that may wait for free resources), `deadline` (seconds from now after which
                the answer is of no more use; None takes the class's: a minute for `interactive`, a day for
                `batch`), `allow` (the only backends that may answer), `id` (UUID) or `idempotency_key` (your
                own word), with which submitting again brings the first outcome again, `batch_id` (the batch
                job it belongs to) and `trace` (`traceparent` and `tracestate`; None takes OpenTelemetry's
                current context).

        Raises:
            ContractError: an argument or the data is wrong; nothing was sent.
            Rejected: it is too large (nothing was sent), or the broker refused it.
            Unroutable: the broker has no queue for requests.
            BrokerUnavailable: the broker did not confirm it in time; submit it again with the same id, which
                is the error's `request_id`.
            StoreUnavailable: the store did not take the data; nothing was sent.
        """
        request, message = self._producer.compose(Submission(model=model, data=data, **options))
        try:
            self._wait_for_inbox()
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
        """Submit many requests, not waiting for each to be confirmed, and return their ids in order.

        Args:
            requests: `Submission`s, or mappings of the arguments of `submit`; taken one at a time, so that it
                may be a generator of any length.
            on_result: as in `submit`, for each of them.

        Raises:
            PartlySubmitted: some were refused or not confirmed; it says which and why, and holds the ids of
                the others, which are submitted. When the broker is gone the rest of the input is not taken.
        """
        account = BatchTracker()
        for item in requests:
            self._send_one(item, account, on_result)
            if account.stop_if_gone():
                break
        return account.close()

    def result(self, id: str, timeout: float = 60.0) -> Outcome:  # noqa: A002 - the contract's word
        """Return the outcome of a request that this client submitted, as soon as it is pushed.

        `Outcome.state` says how it ended: a request that failed, expired or was rejected is an outcome too,
        not an exception; `Outcome.outputs()` gives the answer as numpy arrays. A result that lies in the
        store is fetched into `Outcome.result`, its digest checked.

        Args:
            id: of the request.
            timeout: seconds to wait; 0 only looks.

        Raises:
            ResultTimeout: none came in time.
            ContractError: what came cannot be read, or `id` is not a UUID.
            ConfigurationError: the client asked for no results, or has no store and the result lies in one
                (`StoreNotGiven`).
            StoreUnavailable: the store could not be read.
        """
        identity = self._producer.require_replies(id)
        body = self._producer.results.wait(identity, timeout)
        if body is None:
            raise self._producer.no_result([identity], timeout)
        return self._producer.resolve(decode_outcome(body))

    def future(self, id: str) -> Future[Outcome]:  # noqa: A002 - the contract's word
        """Return a future of the outcome of a request that this client submitted.

        It raises what `result` raises; `ResultTimeout` when the client is closed first. Its callbacks must
        not block. To cancel the future is not to cancel the request, see `cancel`.

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
        """Have `on_result` called with the outcome of a request, as `submit` does.

        Raises:
            ContractError, ConfigurationError: as `result`; or `on_result` cannot be called.
        """
        check_callback(on_result)

        def arrived(done: Future[Outcome]) -> None:
            error = done.exception()
            if error is None:
                self._callbacks.run(lambda: on_result(done.result()))
            else:
                logger.warning("there is no outcome to call back with: %s", error)

        self.future(id).add_done_callback(arrived)

    def as_completed(self, ids: Iterable[str], timeout: float | None = None) -> Iterator[Outcome]:
        """Yield the outcomes of requests that this client submitted, each as it comes.

        Args:
            ids: of the requests; one that is there twice is yielded once.
            timeout: seconds for all of them; None waits for ever.

        Raises:
            ResultTimeout: some did not come in time; its `request_ids` are those.
            ContractError, ConfigurationError, StoreUnavailable: as `result`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        arrived: SimpleQueue[tuple[str, bytes | None]] = SimpleQueue()
        calls = {
            identity: _labelled(identity, arrived) for identity in map(self._producer.require_replies, ids)
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
        """Take a request back, whoever submitted it; returns once the broker has the wish safe.

        A request that has not run ends `cancelled`, wherever it is and whoever is down at present. Of one
        that runs, what comes first is its outcome. Nothing happens to one that has ended.

        Args:
            id: of the request.
            timeout: seconds to wait for the scheduler's word besides; 0 does not wait.

        Returns:
            `cancelled`: it has ended so. `noted`: it is on its way and will end so, if it has no answer
            before. `ended`: it had its outcome, which stands. `unknown`: nothing is known of it; should it
            come, it ends cancelled. None: no word in time (the wish is safe all the same), or a client
            without replies.

        Raises:
            ContractError: `id` is not a UUID.
            Unroutable: the broker has no queue for such wishes.
            BrokerUnavailable: the broker did not confirm it in time; it may be asked again.
        """
        answer, message = self._producer.cancel_request(id)
        self._wait_for_inbox()
        self._producer.publisher.publish(message).result()
        if self._producer.inbox is None:
            return None
        body = self._producer.results.wait(answer, timeout)
        return None if body is None else decode_cancel_result(body)

    def close(self, timeout: float = 10.0) -> None:
        """Wait for outstanding confirms, `timeout` seconds at most, and close the connections."""
        self._producer.close(timeout)
        self._callbacks.close(timeout)

    def _send_one(
        self, item: Submission | Mapping[str, Any], account: BatchTracker, on_result: OnResult | None
    ) -> None:
        try:
            request, message = self._producer.compose(submission_of(item))
        except StraightLineError as error:
            account.refused(error)
            return
        settled = account.sent(request.id)
        try:
            self._wait_for_inbox()
            if on_result is not None:
                self.call_back(request.id, on_result)
            self._producer.publisher.send(message, settled)
        except StraightLineError as error:
            account.unsent(error)

    def _wait_for_inbox(self) -> None:
        """Wait until results can arrive: one that comes before its queue stands would be lost."""
        inbox = self._producer.inbox
        if inbox is not None and not inbox.ready:
            inbox.wait_ready(self._confirm_timeout)

    def _fulfil(self, future: Future[Outcome], body: bytes) -> None:
        """Put an outcome into its future, once the result is fetched where it lies in the store."""
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

        if not self._producer.errands.run(fetch):
            _fail(future, self._producer.no_result([outcome.request_id], None))


def _labelled(identity: str, into: SimpleQueue[tuple[str, bytes | None]]) -> Any:
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
