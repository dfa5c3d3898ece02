"""The client against a real broker, with a replier in the system's place."""

import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pika
import pytest

from script.stack.services.admin import BrokerAdmin
from straightline import Client, Submission, names
from straightline.contracts import InferRequest, Outcome, Request
from straightline.contracts.request import MAX_INLINE_BYTES
from straightline.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ContractError,
    PartlySubmitted,
    Rejected,
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


def large(size: int) -> dict[str, Any]:
    return {"inputs": [{**TENSOR, "parameters": {"padding": "x" * size}}]}


def answered(client: Client, identity: str) -> bool:
    """Submit the same id until a result comes, as is documented: one may be lost while reconnecting."""
    client.submit("digits", DATA, id=identity)
    try:
        return client.result(identity, 2).state == "succeeded"
    except ResultTimeout:
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def test_a_result_is_pushed_to_the_client_that_submitted(broker_url: str) -> None:
    with Replier(broker_url) as replier, Client(broker_url) as first, Client(broker_url) as second:
        before = time.time()
        one, two = first.submit("digits", DATA), second.submit("digits", DATA)
        assert first.result(one, PATIENCE).request_id == one
        outcome = second.result(two, PATIENCE)
        with pytest.raises(ResultTimeout, match=one):
            second.result(one, 0)
    assert outcome.state == "succeeded"
    assert msgspec.json.decode(outcome.result) == DATA
    request = replier.requests[0]
    assert (request.id, request.model, request.class_) == (one, "digits", "interactive")
    assert before <= request.submitted_at <= time.time()
    assert request.deadline is None


def test_a_result_can_be_read_twice(broker_url: str) -> None:
    with Replier(broker_url), Client(broker_url) as client:
        identity = client.submit("digits", DATA)
        assert client.result(identity, PATIENCE) == client.result(identity.upper(), 0)


def test_an_id_that_is_submitted_again_waits_for_its_own_answer(broker_url: str) -> None:
    with Client(broker_url) as client:
        identity = new_id()
        with Replier(broker_url):
            client.submit("digits", DATA, id=identity)
            assert client.result(identity, PATIENCE).request_id == identity
        # Nobody answers now: what came for the first one must not pass for the answer to the second.
        client.submit("digits", large(10), id=identity)
        with pytest.raises(ResultTimeout):
            client.result(identity, 0)


def test_all_options_are_sent(broker_url: str) -> None:
    identity = new_id()
    with Replier(broker_url) as replier, Client(broker_url) as client:
        client.submit(
            "digits",
            DATA,
            version="2",
            deadline=30,
            allow=["local", "serverless"],
            id=identity,
            batch_id="job",
        )
        client.result(identity, PATIENCE)
    request = replier.requests[0]
    assert (request.id, request.version, request.batch_id) == (identity, "2", "job")
    assert request.allow == ("local", "serverless")
    assert request.deadline == pytest.approx(request.submitted_at + 30)


@pytest.mark.parametrize(
    "data",
    [
        msgspec.json.encode(DATA),
        msgspec.json.encode(DATA).decode(),
        bytearray(msgspec.json.encode(DATA)),
        msgspec.Raw(msgspec.json.encode(DATA)),
        msgspec.json.decode(msgspec.json.encode(DATA), type=InferRequest),
    ],
    ids=["bytes", "str", "bytearray", "raw", "struct"],
)
def test_data_is_taken_in_every_form(broker_url: str, data: Any) -> None:
    with Replier(broker_url), Client(broker_url) as client:
        outcome = client.result(client.submit("digits", data), PATIENCE)
    assert msgspec.json.decode(outcome.result) == DATA


def test_an_invalid_request_is_refused_before_anything_is_sent(broker_url: str) -> None:
    with Replier(broker_url) as replier, Client(broker_url) as client:
        wrong: list[dict[str, Any]] = [
            {"model": "../etc"},
            {"data": {}},
            {"data": b"{"},
            {"data": {"inputs": object()}},
            {"class_": "urgent"},
            {"deadline": 0},
            {"deadline": float("nan")},
            {"deadline": "soon"},
            {"allow": []},
            {"allow": "local"},
            {"allow": ["moon"]},
            {"id": "7"},
            {"version": ""},
        ]
        for arguments in wrong:
            with pytest.raises(ContractError):
                client.submit(**({"model": "digits", "data": DATA} | arguments))
        with pytest.raises(Rejected, match="store"):
            client.submit("digits", large(17 * 1024 * 1024))
        last = client.submit("digits", DATA)
        client.result(last, PATIENCE)
    assert [request.id for request in replier.requests] == [last]


def test_many_requests_are_submitted_at_once_with_ids_in_order(broker_url: str) -> None:
    wanted = [new_id() for _ in range(1_000)]
    with Replier(broker_url) as replier, Client(broker_url, window=100) as client:
        ids = client.submit_many({"model": "digits", "data": DATA, "id": each} for each in wanted)
        assert ids == wanted
        for identity in ids:
            assert client.result(identity, PATIENCE).state == "succeeded"
    assert [request.id for request in replier.requests] == wanted


def test_one_invalid_request_is_reported_and_the_others_are_submitted(broker_url: str) -> None:
    good = Submission(model="digits", data=DATA)
    with Replier(broker_url), Client(broker_url) as client:
        with pytest.raises(PartlySubmitted, match="2 of 5") as caught:
            client.submit_many([good, {"model": "", "data": DATA}, good, {"modl": "digits"}, good])
        error = caught.value
        assert sorted(error.failures) == [1, 3]
        assert all(isinstance(each, ContractError) for each in error.failures.values())
        assert [each is None for each in error.ids] == [False, True, False, True, False]
        assert error.stopped_at is None
        for identity in error.ids:
            if identity is not None:
                client.result(identity, PATIENCE)


def test_large_data_is_sent_by_reference_with_a_store(broker_url: str, tmp_path: Path) -> None:
    root = tmp_path.as_uri()
    store = Store(root)

    def answer(request: Request) -> Outcome:
        assert request.data_ref is not None
        outcome = echo(request)
        outcome.result_ref = store.put(store.get(request.data_ref))
        return outcome

    data = large(MAX_INLINE_BYTES)
    with Replier(broker_url, answer) as replier, Client(broker_url, store=root) as client:
        identity = client.submit("digits", data)
        outcome = client.result(identity, PATIENCE)
        small = client.submit("digits", DATA, class_="batch")
        assert small
    request = replier.requests[0]
    assert not request.data
    assert request.size == len(msgspec.json.encode(data))
    assert msgspec.json.decode(outcome.result) == data
    with Client(broker_url) as without, Replier(broker_url, lambda each: outcome_with_ref(each, store)):
        identity = without.submit("digits", DATA)
        with pytest.raises(ConfigurationError, match="store"):
            without.result(identity, PATIENCE)


def outcome_with_ref(request: Request, store: Store) -> Outcome:
    outcome = echo(request)
    outcome.result_ref = store.put(b"{}")
    return outcome


def test_large_data_is_sent_inline_without_a_store(broker_url: str) -> None:
    data = large(2 * MAX_INLINE_BYTES)
    with Replier(broker_url), Client(broker_url) as client:
        assert msgspec.json.decode(client.result(client.submit("digits", data), PATIENCE).result) == data


def test_threads_share_a_client(broker_url: str) -> None:
    states: list[str] = []
    with Replier(broker_url), Client(broker_url) as client:

        def work() -> None:
            for _ in range(40):
                identity = client.submit("digits", DATA)
                outcome = client.result(identity, PATIENCE)
                assert outcome.request_id == identity
                states.append(outcome.state)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert states == ["succeeded"] * 320


def test_without_the_topology_a_request_is_unroutable(empty_broker_url: str) -> None:
    with Client(empty_broker_url, replies=False) as client, pytest.raises(Unroutable, match="broker_config"):
        client.submit("digits", DATA)


def test_with_its_queue_deleted_a_request_is_unroutable(broker_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_delete(names.INTERACTIVE_QUEUE)
    with Client(broker_url) as client:
        with pytest.raises(Unroutable):
            client.submit("digits", DATA)
        assert client.submit("digits", DATA, class_="batch")


def test_after_its_connections_were_closed_a_client_keeps_its_reply_address(
    broker_url: str, broker_admin: BrokerAdmin
) -> None:
    vhost = broker_url.rpartition("/")[2]
    with Client(broker_url) as client:
        with Replier(broker_url):
            before = client.submit("digits", DATA)
            client.result(before, PATIENCE)
        lost = client.submit("digits", DATA)
        broker_admin.ctl("close_all_connections", "--vhost", vhost, "test")
        with Replier(broker_url) as replier:
            for identity in (lost, new_id()):
                until(functools.partial(answered, client, identity))
    assert len({request.id for request in replier.requests}) == 2


def test_without_a_broker_a_request_fails_in_time_and_keeps_its_id() -> None:
    identity = new_id()
    with Client("amqp://127.0.0.1:1/", confirm_timeout=0.5, replies=False) as client:
        with pytest.raises(BrokerUnavailable, match="refused") as caught:
            client.submit("digits", DATA, id=identity)
        assert caught.value.request_id == identity
        with pytest.raises(PartlySubmitted) as partly:
            client.submit_many({"model": "digits", "data": DATA} for _ in range(100_000_000))
        assert partly.value.stopped_at == len(partly.value.ids) == len(partly.value.failures)
    with Client("amqp://127.0.0.1:1/", confirm_timeout=0.5) as client, pytest.raises(BrokerUnavailable):
        client.submit("digits", DATA)


def test_a_closed_client_says_so_at_once(broker_url: str) -> None:
    for replies in (True, False):
        with Client(broker_url, replies=replies) as client:
            client.submit("digits", DATA)
        before = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="is closed: make a new one"):
            client.submit("digits", DATA)
        assert time.monotonic() - before < 5


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_client_cannot_wait_for_confirms_without_an_end(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="confirm_timeout"):
        Client("amqp://127.0.0.1:1/", confirm_timeout=seconds)
