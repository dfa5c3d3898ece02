"""A refused password is no outage: who waits is told within seconds, and who runs on goes on trying."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pika import URLParameters

from script.stack.services.admin import BrokerAdmin
from straightline import Client
from straightline.aio import AsyncClient
from straightline.amqp.connection import failures
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.amqp.publishing.publisher import Publisher
from straightline.errors import BrokerUnavailable

pytestmark = pytest.mark.integration
DATA = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
PATIENCE = 20.0
"""Seconds, fewer than the 30 that an outage is waited for."""


@pytest.fixture
def wrong_url(broker_url: str) -> str:
    password = URLParameters(broker_url).credentials.password
    return broker_url.replace(f":{password}@", ":not-the-password@")


@pytest.fixture
def new_user(broker_admin: BrokerAdmin) -> Iterator[str]:
    """The name of a user that the test makes, which is its password, too."""
    name = f"test-{secrets.token_hex(4)}-new"
    yield name
    broker_admin.ctl("delete_user", name)


@pytest.mark.parametrize("replies", [True, False])
def test_a_client_fails_within_seconds_and_names_the_url(wrong_url: str, *, replies: bool) -> None:
    began = time.monotonic()
    with (
        Client(wrong_url, replies=replies) as client,
        pytest.raises(BrokerUnavailable, match=r"refused the user or the password: check the URL") as caught,
    ):
        client.submit("digits", DATA)
    assert time.monotonic() - began < PATIENCE
    assert "not-the-password" not in str(caught.value)
    assert "within" not in str(caught.value)


def test_so_does_an_asynchronous_one(wrong_url: str) -> None:
    async def submit() -> None:
        async with AsyncClient(wrong_url) as client:
            await client.submit("digits", DATA)

    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="check the URL"):
        asyncio.run(submit())
    assert time.monotonic() - began < PATIENCE


def test_a_long_running_process_keeps_trying(wrong_url: str) -> None:
    publisher = Publisher(wrong_url, name="test", confirm_timeout=6.0)
    began = time.monotonic()
    error = publisher.publish(Outgoing("e", "k", b"{}")).exception(timeout=30)
    publisher.close()
    assert isinstance(error, BrokerUnavailable)
    assert time.monotonic() - began >= 6.0


@pytest.mark.parametrize("replies", [True, False])
def test_a_client_waits_for_a_broker_whose_users_are_being_created(
    broker_url: str,
    broker_admin: BrokerAdmin,
    new_user: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    replies: bool,
) -> None:
    monkeypatch.setattr(failures, "REFUSAL_TIMEOUT_S", 60.0)  # making a user takes seconds on a busy machine
    url = f"amqp://{new_user}:{new_user}@{broker_url.rpartition('@')[2]}"
    vhost = URLParameters(broker_url).virtual_host
    with Client(url, replies=replies) as client, ThreadPoolExecutor(1) as other:
        submitted = other.submit(client.submit, "digits", DATA)
        end = time.monotonic() + PATIENCE
        while client._producer.publisher._connection._failures < 4:
            assert time.monotonic() < end
            time.sleep(0.01)
        broker_admin.ctl("add_user", new_user, new_user)
        broker_admin.ctl("set_permissions", "-p", vhost, new_user, ".*", ".*", ".*")
        assert submitted.result(30)
