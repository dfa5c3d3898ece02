"""The asyncio client: the methods of `straightline.client.Client`, awaited.

    async with AsyncClient(url) as client:
        ident = await client.submit("digits", {"images": images})
        outcome = await client.result(ident, timeout=30)

Each of its two connections has a thread, as with the blocking client. Calls have none: 100,000 requests may
wait for their results in one loop.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.amqp.publishing.publisher import OnSettled
from straightline.contracts.cancel import CancelResult
from straightline.contracts.outcome import Outcome
from straightline.errors import BrokerUnavailable, StraightLineError
from straightline.producer.async_iteration import Requests, each_request, next_result
from straightline.producer.loop_bridge import LoopBridge
from straightline.producer.producer import (
    MAX_KEPT_RESULTS,
    OnResult,
    Producer,
    check_callback,
    decode_cancel_result,
    decode_outcome,
)
from straightline.producer.submission import Data, Draft, Options, Submission, submission_of
from straightline.producer.submission_batch import BatchTracker
from straightline.storage.store import Store


class AsyncClient:
    """Submits requests to StraightLine and receives their results, from one event loop.

    Arguments, errors and guarantees are those of `straightline.client.Client`. Create it in a coroutine of
    the loop that uses it. It never blocks the loop: the loop's default executor reads and writes the store.

    Args:
        url: broker URL, `amqp://user:password@host:port/vhost`.
        store: URL of the store (or a `Store`) for data above 256 KiB, which the workers must be able to read.
            Without a store, data up to 16 MiB is sent inline.
        confirm_timeout: seconds until an unconfirmed request fails with `BrokerUnavailable`.
        window: unconfirmed requests at most.
        replies: False receives no results, for a producer that never calls `result`.
        kept_results: results kept for `result` at most, and 256 MiB; beyond that the oldest are dropped,
            those already read first.
        keep_inputs: whether stored data stays when its request has ended.

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
        self._loop = asyncio.get_running_loop()
        self._bridge = LoopBridge(self._loop)
        self._confirm_timeout = confirm_timeout
        self._tasks: set[asyncio.Future[Any]] = set()
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def submit(
        self, model: str, data: Data, *, on_result: OnResult | None = None, **options: Unpack[Options]
    ) -> str:
        """Submit one request and return its id once the broker has confirmed it.

        A request whose task is cancelled may be submitted all the same.

        Args:
            model: the model's name.
            data: as in `Client.submit`.
            on_result: called with the outcome when it arrives, in the loop.
            options: as in `Client.submit`.

        Raises:
            ContractError, Rejected, Unroutable, BrokerUnavailable, StoreUnavailable: as `Client.submit`.
        """
        submission = Submission(model=model, data=data, **options)
        draft = await self._draft(submission)
        try:
            if on_result is not None:
                self.call_back(draft.request.id, on_result)
            confirmed: asyncio.Future[None] = self._loop.create_future()
            message = self._producer.message(submission, draft)
            await self._send(message, self._bridge.settler(confirmed))
            await confirmed
        except BrokerUnavailable as error:
            error.request_id = draft.request.id
            raise
        return draft.request.id

    async def submit_many(self, requests: Requests, *, on_result: OnResult | None = None) -> list[str]:
        """Submit many requests without waiting for each confirm, and return their ids in order.

        Args:
            requests: as in `Client.submit_many`, or an asynchronous generator.
            on_result: as in `submit`, for each request.

        Raises:
            PartlySubmitted: some requests failed; see `Client.submit_many`.
        """
        settled: asyncio.Future[None] = self._loop.create_future()
        settle = self._bridge.settler(settled)
        tracker = BatchTracker(lambda: settle(None))
        async for item in each_request(requests):
            await self._send_one(item, tracker, on_result)
            if tracker.stop_if_unavailable():
                break
        tracker.closing()
        await settled
        return tracker.ids()

    async def result(self, id: str, timeout: float = 60.0) -> Outcome:  # noqa: A002, ASYNC109 - as `Client`
        """Return the outcome of a request of this client as soon as it is pushed.

        Args:
            id: UUID of the request.
            timeout: seconds to wait; 0 does not wait.

        Raises:
            ResultTimeout, ContractError, ConfigurationError, StoreUnavailable: as `Client.result`.
        """
        identity = self._producer.require_replies(id)
        body = self._producer.results.look(identity)
        if body is None and timeout > 0:
            body = await self._wait(identity, timeout)
        if body is None:
            raise self._producer.no_result([identity], timeout)
        return await self._outcome(body)

    def future(self, id: str) -> asyncio.Future[Outcome]:  # noqa: A002 - the contract's word
        """Return a future of the outcome of a request of this client.

        The future raises what `result` raises, and `ResultTimeout` when the client is closed first.
        Cancelling it does not cancel the request; see `cancel`.

        Raises:
            ContractError, ConfigurationError: as `result`.
        """
        identity = self._producer.require_replies(id)
        return self._keep(asyncio.ensure_future(self._eventually(identity)))

    def call_back(self, id: str, on_result: OnResult) -> None:  # noqa: A002 - the contract's word
        """Call `on_result` in the loop with the outcome of a request when it arrives.

        Raises:
            ContractError, ConfigurationError: as `result`; or `on_result` is not callable.
        """
        check_callback(on_result)

        def arrived(done: asyncio.Future[Outcome]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is None:
                on_result(done.result())
            else:
                text = "callback not called, no outcome arrived"
                self._loop.call_exception_handler({"message": text, "exception": error})

        self.future(id).add_done_callback(arrived)

    async def as_completed(self, ids: Iterable[str], timeout: float | None = None) -> AsyncIterator[Outcome]:  # noqa: ASYNC109 - as `Client`
        """Yield the outcomes of requests of this client in the order of their arrival.

        Args:
            ids: UUIDs of the requests; a repeated id is yielded once.
            timeout: seconds for all outcomes; None waits without limit.

        Raises:
            ResultTimeout: some outcomes did not arrive in time; `request_ids` names them.
            ContractError, ConfigurationError, StoreUnavailable: as `result`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        arrived: asyncio.Queue[tuple[str, bytes | None]] = asyncio.Queue()
        results = self._producer.results
        calls = {
            identity: self._bridge.caller(arrived.put_nowait, identity)
            for identity in map(self._producer.require_replies, ids)
        }
        try:
            for identity, call in calls.items():
                body = results.ask(identity, call)
                if body is not None:
                    arrived.put_nowait((identity, body))
            while calls:
                identity, body = await next_result(arrived, deadline)
                if body is None:
                    raise self._producer.no_result(list(calls), timeout)
                del calls[identity]
                yield await self._outcome(body)
        finally:
            for identity, call in calls.items():
                results.give_up(identity, call)

    async def cancel(self, id: str, timeout: float = 5.0) -> CancelResult | None:  # noqa: A002, ASYNC109 - as `Client`
        """Cancel a request; return once the broker has confirmed the message.

        Args:
            id: UUID of the request.
            timeout: seconds to wait for the scheduler's answer after the confirm; 0 does not wait.

        Returns:
            The scheduler's answer, or None; see `Client.cancel`.

        Raises:
            ContractError, Unroutable, BrokerUnavailable: as `Client.cancel`.
        """
        answer, message = self._producer.cancel_request(id)
        confirmed: asyncio.Future[None] = self._loop.create_future()
        await self._send(message, self._bridge.settler(confirmed))
        await confirmed
        if self._producer.reply_queue is None:
            return None
        body = await self._wait(answer, timeout)
        return None if body is None else decode_cancel_result(body)

    async def close(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as `Client`
        """Wait for outstanding confirms, `timeout` seconds at most, and close the connections."""
        await self._loop.run_in_executor(None, self._producer.close, timeout)
        if self._tasks:  # closing the results has ended their waits
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in self._tasks:
            task.cancel()

    async def _send_one(
        self, item: Submission | Mapping[str, Any], tracker: BatchTracker, on_result: OnResult | None
    ) -> None:
        try:
            submission = submission_of(item)
            draft = await self._draft(submission)
            message = self._producer.message(submission, draft)
        except StraightLineError as error:
            tracker.skip(error)
            return
        settled = tracker.add(draft.request.id)
        try:
            if on_result is not None:
                self.call_back(draft.request.id, on_result)
            await self._send(message, settled)
        except StraightLineError as error:
            tracker.fail_last(error)

    async def _draft(self, submission: Submission) -> Draft:
        draft = self._producer.prepare(submission)
        store = self._producer.store
        if draft.large is not None and store is not None:
            draft.refer(await self._loop.run_in_executor(None, store.put, draft.large, draft.request.id))
        return draft

    async def _send(self, message: Outgoing, settled: OnSettled) -> None:
        """Publish a message once results can arrive and the publisher's window has room."""
        reply_queue = self._producer.reply_queue
        if reply_queue is not None and not reply_queue.ready:
            called = await self._called(reply_queue.when_ready)
            if not called or not reply_queue.ready:
                raise reply_queue.not_ready(self._confirm_timeout)
        publisher = self._producer.publisher
        while not publisher.send_if_room(message, settled):
            if not await self._called(publisher.when_room):
                raise publisher.no_room()

    async def _called(self, when: Any) -> bool:
        """Wait until `when` calls its argument; return False if that exceeds the confirm timeout."""
        called: asyncio.Future[None] = self._loop.create_future()
        settle = self._bridge.settler(called)
        when(lambda: settle(None))
        done, _ = await asyncio.wait([called], timeout=self._confirm_timeout)
        return bool(done)

    async def _wait(self, identity: str, timeout: float | None) -> bytes | None:  # noqa: ASYNC109 - as `Client`
        arrived: asyncio.Future[bytes | None] = self._loop.create_future()
        call = self._bridge.setter(arrived)
        results = self._producer.results
        body = results.ask(identity, call)
        if body is not None:
            return body
        try:
            done, _ = await asyncio.wait([arrived], timeout=timeout)
            return arrived.result() if done else None
        finally:
            results.give_up(identity, call)

    async def _eventually(self, identity: str) -> Outcome:
        body = await self._wait(identity, None)
        if body is None:
            raise self._producer.no_result([identity], None)
        return await self._outcome(body)

    async def _outcome(self, body: bytes) -> Outcome:
        outcome = decode_outcome(body)
        if outcome.result_ref is None:
            return outcome
        return await self._loop.run_in_executor(None, self._producer.resolve, outcome)

    def _keep(self, task: asyncio.Future[Outcome]) -> asyncio.Future[Outcome]:
        """Keep a reference to a task: the loop keeps none."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
