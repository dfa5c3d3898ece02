"""The client for asyncio against a real broker, with a replier in the system's place."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from script.stack.services.admin import BrokerAdmin
from straightline.aio import AsyncClient
from straightline.contracts import Outcome, Request
from straightline.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ContractError,
    PartlySubmitted,
    ResultTimeout,
    Unroutable,
)
from straightline.ids import new_id
from straightline.storage.store import Store
from tests.integration.straightline.replier import Replier, echo

pytestmark = pytest.mark.integration

PATIENCE = 60
TENSOR = {"name": "images", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 16]}
DATA: dict[str, Any] = {"inputs": [TENSOR]}
GOOD: dict[str, Any] = {"model": "m", "data": DATA}
NOBODY = "amqp://127.0.0.1:1/"


def test_a_result_is_pushed_to_an_awaiting_task(broker_url: str) -> None:
    async def work() -> Outcome:
        async with AsyncClient(broker_url) as client:
            identity = await client.submit("digits", {"images": np.array([[0.5, 16]], dtype=np.float32)})
            outcome = await client.result(identity, PATIENCE)
            assert await client.result(identity, 0) == outcome
            assert outcome.request_id == identity
            return outcome

    with Replier(broker_url):
        outcome = asyncio.run(work())
    assert msgspec.json.decode(outcome.result) == DATA


def test_a_thousand_wait_at_once_without_a_thread_each(broker_url: str) -> None:
    async def one(client: AsyncClient) -> str:
        return (await client.result(await client.submit("digits", DATA), PATIENCE)).state

    async def work() -> tuple[list[str], int]:
        async with AsyncClient(broker_url, window=64) as client:
            tasks = [asyncio.create_task(one(client)) for _ in range(1_000)]
            most = 0
            while not all(task.done() for task in tasks):
                most = max(most, threading.active_count())
                await asyncio.sleep(0.01)
            return [task.result() for task in tasks], most

    before = threading.active_count()
    with Replier(broker_url):
        states, most = asyncio.run(work())
    assert states == ["succeeded"] * 1_000
    assert most - before < 10, "of two connections, their look-ups of the host, and the replier"


def test_many_requests_are_yielded_as_they_complete(broker_url: str) -> None:
    wanted = [new_id() for _ in range(500)]

    async def generated() -> AsyncIterator[dict[str, Any]]:
        for identity in wanted:
            yield {"model": "digits", "data": DATA, "id": identity}

    async def work() -> list[str]:
        async with AsyncClient(broker_url, window=100) as client:
            assert await client.submit_many(generated()) == wanted
            return [outcome.request_id async for outcome in client.as_completed(wanted, PATIENCE)]

    with Replier(broker_url):
        assert sorted(asyncio.run(work())) == sorted(wanted)


def test_a_future_and_a_callback_get_the_outcome_in_the_loop(broker_url: str) -> None:
    async def work() -> None:
        called: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        async with AsyncClient(broker_url) as client:
            identity = await client.submit("digits", DATA, on_result=called.set_result)
            outcome = await asyncio.wait_for(client.future(identity), PATIENCE)
            assert await asyncio.wait_for(called, PATIENCE) == outcome

    with Replier(broker_url):
        asyncio.run(work())


def test_results_that_are_late_raise_a_timeout(broker_url: str) -> None:
    async def work() -> None:
        async with AsyncClient(broker_url) as client:
            identity = await client.submit("digits", DATA, class_="batch")
            with pytest.raises(ResultTimeout, match=r"within 0.1 s"):
                await client.result(identity, 0.1)
            with pytest.raises(ResultTimeout) as caught:
                await anext(client.as_completed([identity], 0.1))
            assert caught.value.request_ids == (identity,)
            waiting = client.future(identity)
            await asyncio.sleep(0)
        with pytest.raises(ResultTimeout, match="before the client was closed"):
            await waiting

    asyncio.run(work())


def test_large_data_is_sent_by_reference_and_removed_when_its_request_ends(
    broker_url: str, tmp_path: Path
) -> None:
    images = np.arange(100_000, dtype=np.float32).reshape(1, -1)
    store = Store(tmp_path.as_uri())

    def answer(request: Request) -> Outcome:
        assert request.data_ref is not None
        outcome = echo(request)
        outcome.result_ref = store.put(store.get(request.data_ref))
        return outcome

    async def work() -> bytes:
        async with AsyncClient(broker_url, store=store) as client:
            return bytes((await client.result(await client.submit("m", {"images": images}), PATIENCE)).result)

    with Replier(broker_url, answer):
        sent = msgspec.json.decode(asyncio.run(work()))
    assert sent["inputs"][0]["data"] == images.ravel().tolist()
    (left,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "-" not in left.name, "the result alone, named by its content"


def test_errors_are_those_of_the_blocking_client(broker_url: str) -> None:
    async def work() -> None:
        async with AsyncClient(broker_url, replies=False) as client:
            with pytest.raises(ContractError):
                await client.submit("../etc", DATA)
            with pytest.raises(ConfigurationError, match="replies"):
                await client.result(new_id())
            with pytest.raises(PartlySubmitted, match="1 of 3") as caught:
                await client.submit_many([GOOD, {"modl": 1}, GOOD])
            assert [each is None for each in caught.value.ids] == [False, True, False]
        with pytest.raises(BrokerUnavailable, match="closed"):
            await client.submit("m", DATA)

    asyncio.run(work())


def test_without_a_broker_a_request_fails_in_time_and_keeps_its_id() -> None:
    async def work() -> None:
        identity = new_id()
        async with AsyncClient(NOBODY, confirm_timeout=0.3) as client:
            with pytest.raises(BrokerUnavailable, match="refused") as caught:
                await client.submit("m", DATA, id=identity)
            assert caught.value.request_id == identity
        async with AsyncClient(NOBODY, confirm_timeout=0.3, replies=False, window=10) as client:
            with pytest.raises(PartlySubmitted) as partly:
                await client.submit_many(GOOD for _ in range(100_000_000))
            assert partly.value.stopped_at is not None

    asyncio.run(work())


def test_without_the_topology_a_request_is_unroutable(empty_broker_url: str) -> None:
    async def work() -> None:
        async with AsyncClient(empty_broker_url, replies=False) as client:
            with pytest.raises(Unroutable, match="broker_config"):
                await client.submit("m", DATA)

    asyncio.run(work())


def test_it_reconnects_after_its_connections_were_closed(broker_url: str, broker_admin: BrokerAdmin) -> None:
    vhost = broker_url.rpartition("/")[2]

    async def answered(client: AsyncClient, identity: str) -> bool:
        await client.submit("m", DATA, id=identity)
        try:
            return (await client.result(identity, 2)).state == "succeeded"
        except ResultTimeout:
            return False

    async def work() -> None:
        async with AsyncClient(broker_url) as client:
            with Replier(broker_url):
                await client.result(await client.submit("m", DATA), PATIENCE)
            await asyncio.to_thread(broker_admin.ctl, "close_all_connections", "--vhost", vhost, "test")
            with Replier(broker_url):
                deadline, identity = time.monotonic() + PATIENCE, new_id()
                while not await answered(client, identity):
                    assert time.monotonic() < deadline

    asyncio.run(work())
