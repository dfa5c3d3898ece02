"""Asynchronous iteration over requests to submit and results that arrive."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any, Final

from straightline.producer.submission import Submission

YIELD_EVERY: Final = 64
"""Requests between two iterations of the loop."""

Requests = Iterable[Submission | Mapping[str, Any]] | AsyncIterable[Submission | Mapping[str, Any]]


async def each_request(requests: Requests) -> AsyncIterator[Submission | Mapping[str, Any]]:
    """Yield requests, letting the loop run in between."""
    if isinstance(requests, AsyncIterable):
        async for item in requests:
            yield item
        return
    for number, item in enumerate(requests):
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
        yield item


async def next_result(
    arrived: asyncio.Queue[tuple[str, bytes | None]], deadline: float | None
) -> tuple[str, bytes | None]:
    """Return the next result; an empty id and None once `deadline` (monotonic seconds) is over."""
    if not arrived.empty():
        return arrived.get_nowait()
    try:
        async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
            return await arrived.get()
    except TimeoutError:
        return "", None
