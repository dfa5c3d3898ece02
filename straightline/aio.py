"""The producer's client for asyncio: the same words as `straightline.client.Client`, awaited.

    async with AsyncClient(url) as client:
        ident = await client.submit("digits", {"images": images})
        outcome = await client.result(ident, timeout=30)

Its two connections have a thread each, as those of the blocking client, and no call has one: a hundred
thousand requests may wait for their results in one loop.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, Unpack

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.amqp.publishing.publisher import OnSettled
from straightline.contracts.cancel import CancelResult
from straightline.contracts.outcome import Outcome
from straightline.errors import BrokerUnavailable, StraightLineError
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

YIELD_EVERY: Final = 64
"""Requests of `submit_many` between two turns of the loop."""

Requests = Iterable[Submission | Mapping[str, Any]] | AsyncIterable[Submission | Mapping[str, Any]]


class AsyncClient:
    """Submits requests to StraightLine and takes their results, from one event loop.

    Its arguments, errors and promises are those of `straightline.client.Client`. Make it in a coroutine of
    the loop that uses it. Nothing it does blocks the loop: its executor reads and writes the store.

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
        self._loop = asyncio.get_running_loop()
        self._crossing = LoopBridge(self._loop)
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
        """Submit one request and return its id once the broker has it safe; see `Client.submit`.

        `on_result` is called in the loop. When the task is cancelled the request may be submitted anyway.
        """
        submission = Submission(model=model, data=data, **options)
        draft = await self._draft(submission)
        try:
            if on_result is not None:
                self.call_back(draft.request.id, on_result)
            confirmed: asyncio.Future[None] = self._loop.create_future()
            message = self._producer.message(submission, draft)
            await self._send(message, self._crossing.settler(confirmed))
            await confirmed
        except BrokerUnavailable as error:
            error.request_id = draft.request.id
            raise
        return draft.request.id

    async def submit_many(self, requests: Requests, *, on_result: OnResult | None = None) -> list[str]:
        """Submit many requests, not waiting for each to be confirmed; see `Client.submit_many`.

        Args:
            requests: as there; an asynchronous generator may give them, too.
            on_result: as in `submit`, for each of them.

        Raises:
            PartlySubmitted: as there.
        """
        settled: asyncio.Future[None] = self._loop.create_future()
        settle = self._crossing.settler(settled)
        account = BatchTracker(lambda: settle(None))
        async for item in _each(requests):
            await self._send_one(item, account, on_result)
            if account.stop_if_gone():
                break
        account.closing()
        await settled
        return account.ids()

    async def result(self, id: str, timeout: float = 60.0) -> Outcome:  # noqa: A002, ASYNC109 - as `Client`
        """Return the outcome of a request that this client submitted; see `Client.result`."""
        identity = self._producer.require_replies(id)
        body = self._producer.results.look(identity)
        if body is None and timeout > 0:
            body = await self._wait(identity, timeout)
        if body is None:
            raise self._producer.no_result([identity], timeout)
        return await self._outcome(body)

    def future(self, id: str) -> asyncio.Future[Outcome]:  # noqa: A002 - the contract's word
        """Return a future of the outcome of a request that this client submitted; see `Client.future`."""
        identity = self._producer.require_replies(id)
        return self._keep(asyncio.ensure_future(self._eventually(identity)))

    def call_back(self, id: str, on_result: OnResult) -> None:  # noqa: A002 - the contract's word
        """Have `on_result` called in the loop with the outcome of a request; see `Client.call_back`."""
        check_callback(on_result)

        def arrived(done: asyncio.Future[Outcome]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is None:
                on_result(done.result())
            else:
                text = "there is no outcome to call back with"
                self._loop.call_exception_handler({"message": text, "exception": error})

        self.future(id).add_done_callback(arrived)

    async def as_completed(self, ids: Iterable[str], timeout: float | None = None) -> AsyncIterator[Outcome]:  # noqa: ASYNC109 - as `Client`
        """Yield the outcomes of requests of this client, each as it comes; see `Client.as_completed`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        arrived: asyncio.Queue[tuple[str, bytes | None]] = asyncio.Queue()
        results = self._producer.results
        calls = {
            identity: self._crossing.caller(arrived.put_nowait, identity)
            for identity in map(self._producer.require_replies, ids)
        }
        try:
            for identity, call in calls.items():
                body = results.ask(identity, call)
                if body is not None:
                    arrived.put_nowait((identity, body))
            while calls:
                identity, body = await _next(arrived, deadline)
                if body is None:
                    raise self._producer.no_result(list(calls), timeout)
                del calls[identity]
                yield await self._outcome(body)
        finally:
            for identity, call in calls.items():
                results.give_up(identity, call)

    async def cancel(self, id: str, timeout: float = 5.0) -> CancelResult | None:  # noqa: A002, ASYNC109 - as `Client`
        """Take a request back; see `Client.cancel`."""
        answer, message = self._producer.cancel_request(id)
        confirmed: asyncio.Future[None] = self._loop.create_future()
        await self._send(message, self._crossing.settler(confirmed))
        await confirmed
        if self._producer.inbox is None:
            return None
        body = await self._wait(answer, timeout)
        return None if body is None else decode_cancel_result(body)

    async def close(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as `Client`
        """Wait for outstanding confirms, `timeout` seconds at most, and close the connections."""
        await self._loop.run_in_executor(None, self._producer.close, timeout)
        if self._tasks:  # they were told that nothing comes any more
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in self._tasks:
            task.cancel()

    async def _send_one(
        self, item: Submission | Mapping[str, Any], account: BatchTracker, on_result: OnResult | None
    ) -> None:
        try:
            submission = submission_of(item)
            draft = await self._draft(submission)
            message = self._producer.message(submission, draft)
        except StraightLineError as error:
            account.refused(error)
            return
        settled = account.sent(draft.request.id)
        try:
            if on_result is not None:
                self.call_back(draft.request.id, on_result)
            await self._send(message, settled)
        except StraightLineError as error:
            account.unsent(error)

    async def _draft(self, submission: Submission) -> Draft:
        draft = self._producer.prepare(submission)
        store = self._producer.store
        if draft.large is not None and store is not None:
            draft.refer(await self._loop.run_in_executor(None, store.put, draft.large, draft.request.id))
        return draft

    async def _send(self, message: Outgoing, settled: OnSettled) -> None:
        """Hand a message to the publisher, once results can arrive and its window has room."""
        inbox = self._producer.inbox
        if inbox is not None and not inbox.ready:
            told = await self._told(inbox.when_ready)
            if not told or not inbox.ready:
                raise inbox.not_ready(self._confirm_timeout)
        publisher = self._producer.publisher
        while not publisher.send_if_room(message, settled):
            if not await self._told(publisher.when_room):
                raise publisher.no_room()

    async def _told(self, when: Any) -> bool:
        """Wait until `when` calls what it is given; False where that takes too long."""
        told: asyncio.Future[None] = self._loop.create_future()
        settle = self._crossing.settler(told)
        when(lambda: settle(None))
        done, _ = await asyncio.wait([told], timeout=self._confirm_timeout)
        return bool(done)

    async def _wait(self, identity: str, timeout: float | None) -> bytes | None:  # noqa: ASYNC109 - as `Client`
        arrived: asyncio.Future[bytes | None] = self._loop.create_future()
        call = self._crossing.setter(arrived)
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
        """Hold on to a task: the loop alone would let it go."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _each(requests: Requests) -> AsyncIterator[Submission | Mapping[str, Any]]:
    if isinstance(requests, AsyncIterable):
        async for item in requests:
            yield item
        return
    for number, item in enumerate(requests):
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
        yield item


async def _next(
    arrived: asyncio.Queue[tuple[str, bytes | None]], deadline: float | None
) -> tuple[str, bytes | None]:
    if not arrived.empty():
        return arrived.get_nowait()
    try:
        async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
            return await arrived.get()
    except TimeoutError:
        return "", None
