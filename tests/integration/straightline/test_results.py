"""Results as futures, by callback and as completed; what travels beside a request; what is cleared."""

import threading
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
import numpy as np
import pika
import pytest

from straightline import Client, names
from straightline.contracts import InferOutput, InferResponse, Outcome, Request
from straightline.errors import ConfigurationError, ContractError, NoResult, ResultTimeout
from straightline.ids import id_of_key, new_id
from straightline.storage.store import Store
from tests.integration.straightline.replier import Replier, echo

pytestmark = pytest.mark.integration

PATIENCE = 60
DATA: dict[str, Any] = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
LARGE = np.zeros((1, 200_000), dtype=np.float32)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_future_is_done_when_the_result_is_pushed(broker_url: str) -> None:
    with Client(broker_url) as client:
        identity = client.submit("digits", DATA)
        future = client.future(identity)
        assert not future.done()
        with Replier(broker_url):
            outcome = future.result(PATIENCE)
        assert outcome.request_id == identity
        assert client.future(identity).done(), "what has come is there at once"
        assert client.result(identity, 0) == outcome


def test_a_future_whose_result_cannot_be_read_raises_the_reason(broker_url: str, tmp_path: Path) -> None:
    store = Store(tmp_path.as_uri())

    def answer(request: Request) -> Outcome:
        outcome = echo(request)
        outcome.result_ref = store.put(b"{}")
        return outcome

    with (
        Replier(broker_url, answer),
        Client(broker_url) as without,
        Client(broker_url, store=store) as client,
    ):
        with pytest.raises(ConfigurationError, match="store"):
            without.future(without.submit("digits", DATA)).result(PATIENCE)
        future = client.future(client.submit("digits", DATA))
        assert bytes(future.result(PATIENCE).result) == b"{}"
        (stored,) = files(tmp_path)
        stored.write_bytes(b"[]")
        with pytest.raises(ContractError, match="sha256"):
            client.future(client.submit("digits", DATA)).result(PATIENCE)


def test_cancelling_a_future_affects_no_other(broker_url: str) -> None:
    with Client(broker_url) as client:
        identity = client.submit("digits", DATA)
        given_up, kept = client.future(identity), client.future(identity)
        assert given_up.cancel()
        with Replier(broker_url):
            assert kept.result(PATIENCE).request_id == identity


def test_closing_the_client_ends_all_waits(broker_url: str) -> None:
    with Client(broker_url) as client:
        future = client.future(client.submit("digits", DATA))
    with pytest.raises(ResultTimeout, match="closed"):
        future.result(PATIENCE)


def test_callbacks_run_beside_the_connection_and_may_use_the_client(broker_url: str) -> None:
    told: SimpleQueue[tuple[str, str]] = SimpleQueue()

    with Replier(broker_url), Client(broker_url) as client:

        def again(outcome: Outcome) -> None:
            second = client.submit("digits", DATA)
            told.put((outcome.request_id, client.result(second, PATIENCE).state))
            raise ZeroDivisionError("a fault of the user's, which stops no other callback")

        ids = [client.submit("digits", DATA, on_result=again) for _ in range(3)]
        ids += client.submit_many([{"model": "digits", "data": DATA}] * 3, on_result=again)
        found = [told.get(timeout=PATIENCE) for _ in ids]
    assert sorted(found) == sorted((identity, "succeeded") for identity in ids)


def test_results_are_yielded_as_they_arrive(broker_url: str) -> None:
    with Client(broker_url) as client:
        ids = client.submit_many([{"model": "digits", "data": DATA}] * 50)
        completed = client.as_completed([*ids, ids[0]], PATIENCE)
        with Replier(broker_url) as replier:
            first = next(completed)
            rest = list(completed)
        order = [request.id for request in replier.requests]
        assert [first.request_id, *(outcome.request_id for outcome in rest)] == order
        assert sorted(order) == sorted(ids)
        assert {outcome.request_id for outcome in client.as_completed(ids, 0)} == set(ids), "all are there"


def test_late_results_are_named(broker_url: str) -> None:
    with Client(broker_url) as client:
        with Replier(broker_url):
            here = client.submit("digits", DATA)
            client.result(here, PATIENCE)
        missing = [client.submit("digits", DATA) for _ in range(2)]
        completed = client.as_completed([missing[0], here, missing[1]], 0.2)
        assert next(completed).request_id == here
        with pytest.raises(ResultTimeout, match="2 requests") as caught:
            next(completed)
        assert caught.value.request_ids == tuple(missing)
        with pytest.raises(ContractError, match="UUID"):
            list(client.as_completed(["7"]))


def test_arrays_are_sent_and_returned(broker_url: str) -> None:
    image = np.linspace(0, 16, 64, dtype=np.float32).reshape(1, 64)

    def answer(request: Request) -> Outcome:
        (tensor,) = request.infer_request().inputs
        outcome = echo(request)
        output = InferOutput(name="y", datatype="FP32", shape=[1, 64], data=tensor.data)
        response = InferResponse(model_name="m", outputs=[output])
        outcome.result = msgspec.Raw(msgspec.json.encode(response))
        return outcome

    with Replier(broker_url, answer), Client(broker_url) as client:
        outputs = client.result(client.submit("m", {"images": image}), PATIENCE).outputs()
    assert outputs["y"].dtype == np.float32
    assert np.array_equal(outputs["y"], image)


def test_an_outcome_without_an_answer_raises_when_it_is_read(broker_url: str) -> None:
    def refuse(request: Request) -> Outcome:
        return Outcome(request_id=request.id, state="rejected", finished_at=1.0, error="no such model")

    with Replier(broker_url, refuse), Client(broker_url) as client:
        outcome = client.result(client.submit("m", DATA), PATIENCE)
    with pytest.raises(NoResult, match="no such model"):
        outcome.outputs()


def test_an_own_key_is_an_id_and_a_trace_travels(broker_url: str) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    trace = {"traceparent": parent, "tracestate": "vendor=1"}
    with Client(broker_url) as client:
        first = client.submit("m", DATA, idempotency_key="order-4711", trace=trace)
        assert client.submit("m", DATA, idempotency_key="order-4711") == first == id_of_key("order-4711")
        with pytest.raises(ContractError, match="both set"):
            client.submit("m", DATA, idempotency_key="order-4711", id=new_id())
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        taken = connection.channel().consume(names.INTERACTIVE_QUEUE, auto_ack=True)
        headers = [next(taken)[1].headers for _ in range(2)]
    assert {name: headers[0][name] for name in trace} == trace
    assert "traceparent" not in headers[1]


@pytest.mark.parametrize(("keep", "left"), [(False, 0), (True, 1)])
def test_the_stored_input_of_an_ended_request_is_removed(
    broker_url: str, tmp_path: Path, keep: bool, left: int
) -> None:
    with Client(broker_url, store=tmp_path.as_uri(), keep_inputs=keep) as client:
        identity = client.submit("m", {"x": LARGE})
        assert len(files(tmp_path)) == 1
        with Replier(broker_url):
            client.result(identity, PATIENCE)
    assert len(files(tmp_path)) == left


def test_equal_data_of_two_requests_is_not_taken_from_the_one_that_still_runs(
    broker_url: str, tmp_path: Path
) -> None:
    store = Store(tmp_path.as_uri())
    sent: list[Request] = []

    def answer(request: Request) -> Outcome:
        sent.append(request)
        return echo(request)

    with Client(broker_url, store=store) as first, Client(broker_url, store=store) as second:
        with Replier(broker_url, answer):
            first.result(first.submit("m", {"x": LARGE}), PATIENCE)
        second.submit("m", {"x": LARGE})
        first.close()
        (kept,) = files(tmp_path)
    assert sent[0].data_ref is not None
    assert not sent[0].data_ref.uri.endswith(kept.name)


def test_a_conflicting_id_does_not_take_the_data_of_the_first(broker_url: str, tmp_path: Path) -> None:
    def conflict(request: Request) -> Outcome:
        return Outcome(request_id=request.id, state="rejected", error_class="conflict", finished_at=1.0)

    with Client(broker_url, store=tmp_path.as_uri()) as client:
        identity = client.submit("m", {"x": LARGE})
        with Replier(broker_url, conflict):
            client.result(identity, PATIENCE)
    assert len(files(tmp_path)) == 1


def test_a_thread_that_waits_is_woken_by_its_own_result_alone(broker_url: str) -> None:
    with Client(broker_url) as client:
        ids = [client.submit("m", DATA) for _ in range(20)]
        got: dict[str, Future[str]] = {identity: Future() for identity in ids}

        def wait(identity: str) -> None:
            got[identity].set_result(client.result(identity, PATIENCE).request_id)

        threads = [threading.Thread(target=wait, args=(identity,)) for identity in ids]
        for thread in threads:
            thread.start()
        with Replier(broker_url):
            assert [got[identity].result(PATIENCE) for identity in ids] == ids
        for thread in threads:
            thread.join(PATIENCE)
