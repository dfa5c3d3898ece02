"""Each request of a placement gets one result, and a neighbour never worsens it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from straightline.contracts import DataRef, ModelSpec, Reason
from straightline.errors import ContractError, StoreUnavailable
from workers.coordination.breakers import STATE_TTL_S, OpenBreakers
from workers.coordination.cancellation import CancellationTracker
from workers.domain.placements import Work
from workers.domain.result import Results
from workers.execution.executor import PlacementExecutor
from workers.execution.payloads import PayloadStore
from workers.protocol.errors import BackendFault, ModelError, WrongInput

Make = Callable[..., Work]
LATIN = b'{"model_name":"m","outputs":[{"name":"y","shape":[1,2],"datatype":"BYTES","data":["\xe9","\xe8"]}]}'


@pytest.fixture
def cancellations(clock: Callable[[], float]) -> CancellationTracker:
    return CancellationTracker(clock)


@pytest.fixture
def breakers(clock: Callable[[], float]) -> OpenBreakers:
    return OpenBreakers("local", clock)


@pytest.fixture
def ask(
    backend: Any,
    model: ModelSpec,
    clock: Callable[[], float],
    cancellations: CancellationTracker,
    breakers: OpenBreakers,
) -> Callable[..., Results]:
    def ask(
        *work: Work, store: Any = None, found: ModelSpec | None = model, informed: bool = True
    ) -> Results:
        results = PlacementExecutor(
            backend,
            lambda *_: found,
            PayloadStore(store),
            clock,
            cancellations=cancellations,
            breakers=breakers,
            registry_synced=lambda: informed,
        ).execute(work)
        assert {item.request.id for item, _ in results} == {item.request.id for item in work}
        assert len(results) == len(work)
        return results

    return ask


def refuse_negative(call: dict[str, Any]) -> None:
    if any(value < 0 for value in call["inputs"][0]["data"]):
        raise ModelError("below zero")


def values(results: Results) -> dict[str, list[float]]:
    return {
        item.request.id: msgspec.json.decode(result.result)["outputs"][0]["data"] for item, result in results
    }


def test_several_requests_are_one_call(ask: Any, backend: Any, make_work: Make) -> None:
    work = [make_work([float(n), 0.0]) for n in range(5)]
    results = ask(*work)
    assert len(backend.calls) == 1
    assert values(results) == {item.request.id: [2.0 * n, 0.0] for n, item in enumerate(work)}
    assert {result.share for _, result in results} == {5}


def test_a_single_request_is_sent_unchanged(ask: Any, backend: Any, make_work: Make) -> None:
    body = {"id": "mine", "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}], "z": 1}
    ask(make_work(body=body))
    assert backend.calls == [body]


def test_a_wrong_request_does_not_spoil_the_others_in_its_call(
    ask: Any, backend: Any, make_work: Make
) -> None:
    backend.fail = refuse_negative
    work = [make_work([1.0, 1.0]), make_work([-1.0, 0.0]), make_work([2.0, 2.0])]
    results = {item.request.id: result for item, result in ask(*work)}
    assert [results[item.request.id].kind for item in work] == ["succeeded", "failed", "succeeded"]
    assert results[work[1].request.id].error_class == "model_error"


def test_a_request_that_does_not_fit_the_model_is_rejected_and_the_others_in_its_call_succeed(
    ask: Any, backend: Any, make_work: Make
) -> None:
    def refuse(call: dict[str, Any]) -> None:
        if 7.0 in call["inputs"][0]["data"]:
            raise WrongInput("x has 3 elements", cold_start=0.5)

    backend.fail = refuse
    work = [make_work([1.0, 1.0]), make_work([7.0, 0.0])]
    results = {item.request.id: result for item, result in ask(*work)}
    assert [results[item.request.id].kind for item in work] == ["succeeded", "rejected"]
    wrong = results[work[1].request.id]
    assert (wrong.error_class, wrong.error, wrong.cold_start) == ("wrong_inputs", "x has 3 elements", 0.5)


def test_requests_are_called_alone_if_their_response_cannot_be_split(
    ask: Any, backend: Any, make_work: Make
) -> None:
    whole = backend.answer
    backend.answer = lambda call: whole(
        {"inputs": [{**call["inputs"][0], "shape": [1, 2], "data": call["inputs"][0]["data"][:2]}]}
    )
    assert {result.kind for _, result in ask(make_work([1.0, 1.0]), make_work([2.0, 2.0]))} == {"succeeded"}
    assert len(backend.calls) == 3


def test_requests_of_a_model_that_is_not_batchable_are_called_alone(
    ask: Any, backend: Any, make_work: Make, model: ModelSpec
) -> None:
    fixed = msgspec.structs.replace(model, outputs=(msgspec.structs.replace(model.outputs[0], shape=(1, 2)),))
    ask(make_work(), make_work(), found=fixed)
    assert len(backend.calls) == 2


def test_calls_stay_within_the_payload_limit(ask: Any, backend: Any, make_work: Make) -> None:
    backend.max_payload = 200
    results = ask(*(make_work() for _ in range(6)))
    assert 1 < len(backend.calls) < 6
    assert {result.kind for _, result in results} == {"succeeded"}


def test_a_fault_gives_all_requests_of_the_call_back(ask: Any, backend: Any, make_work: Make) -> None:
    def crash(_: Any) -> None:
        raise BackendFault("it died", error_class="crashed")

    backend.fail = crash
    results = [result for _, result in ask(make_work(), make_work())]
    assert [(result.kind, result.error_class) for result in results] == [("fault", "crashed")] * 2


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (ZeroDivisionError(), "internal"),
        (SystemExit(1), "internal"),
        (RecursionError(), "internal"),
        (MemoryError(), "out_of_memory"),
    ],
)
def test_an_internal_error_gives_requests_back_too(
    ask: Any, backend: Any, make_work: Make, error: BaseException, error_class: str
) -> None:
    def fail(_: Any) -> None:
        raise error

    backend.fail = fail
    results = [result for _, result in ask(make_work(), make_work())]
    assert [(result.kind, result.error_class) for result in results] == [("fault", error_class)] * 2


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"model_name":1}', b"[" * 200_000, b"\xff", LATIN])
def test_a_response_that_is_not_v2_is_a_fault(ask: Any, backend: Any, make_work: Make, body: bytes) -> None:
    backend.answer = lambda _: body
    ((_, result),) = ask(make_work())
    assert (result.kind, result.error_class) == ("fault", "bad_protocol")


def test_a_response_of_another_version_is_a_fault(ask: Any, backend: Any, make_work: Make) -> None:
    backend.answer = lambda _: b'{"model_name":"double","model_version":"2","outputs":[]}'
    ((_, result),) = ask(make_work())
    assert (result.kind, result.error_class) == ("fault", "not_deployed")


def test_an_unknown_model_is_a_fault_of_this_pool(ask: Any, make_work: Make) -> None:
    ((_, result),) = ask(make_work(), found=None)
    assert (result.kind, result.error_class) == ("fault", "not_deployed")


def test_a_pool_that_has_not_read_all_deployments_does_not_report_a_model_as_missing(
    ask: Any, make_work: Make
) -> None:
    ((_, result),) = ask(make_work(), found=None, informed=False)
    assert (result.kind, result.error_class) == ("fault", "not_informed")


def test_a_request_past_its_deadline_is_not_called(ask: Any, backend: Any, make_work: Make) -> None:
    ((_, result),) = ask(make_work(remaining=0.0))
    assert (result.kind, result.asked, backend.calls) == ("expired", False, [])


def test_a_calls_timeout_is_limited_by_model_and_deadlines(ask: Any, backend: Any, make_work: Make) -> None:
    ask(make_work(remaining=1000.0))
    ask(make_work(remaining=10.0), make_work(remaining=5.0))
    assert backend.timeouts[0] == 30.0
    assert 5.0 < backend.timeouts[1] <= 10.0


class Store:
    def __init__(self, content: bytes | Exception) -> None:
        self.content = content
        self.kept: list[bytes] = []

    def get(self, ref: DataRef) -> bytes:
        if isinstance(self.content, Exception):
            raise self.content
        return self.content

    def put(self, data: bytes) -> DataRef:
        if isinstance(self.content, Exception):
            raise self.content
        self.kept.append(data)
        return DataRef(uri="file:///x", size=len(data), sha256="0" * 64)


REF = {"uri": "file:///x", "size": 5, "sha256": "0" * 64}


def test_referenced_data_is_fetched(ask: Any, backend: Any, make_work: Make) -> None:
    body = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[3,4]}]}'
    results = ask(make_work(data_ref=REF), store=Store(body))
    assert [*values(results).values()] == [[6, 8]]


@pytest.mark.parametrize(
    ("error", "kind", "error_class"),
    [
        (ContractError("no", error_class="wrong_data"), "failed", "wrong_data"),
        (StoreUnavailable("no"), "fault", "store_unavailable"),
    ],
)
def test_a_failing_store_differs_from_a_wrong_reference(
    ask: Any, make_work: Make, error: Exception, kind: str, error_class: str
) -> None:
    ((_, result),) = ask(make_work(data_ref=REF), store=Store(error))
    assert (result.kind, result.error_class) == (kind, error_class)


def test_a_requeued_placement_no_longer_runs_here(
    ask: Any, make_work: Make, cancellations: CancellationTracker
) -> None:
    work = [make_work(), make_work(data_ref=REF)]
    with pytest.raises(MemoryError):
        ask(*work, store=Store(MemoryError()))
    assert cancellations.all_running() == []


def test_a_large_result_goes_to_the_store(ask: Any, make_work: Make) -> None:
    store = Store(b"")
    ((_, result),) = ask(make_work([0.5] * 200_000), store=store)
    assert result.kind == "succeeded"
    assert not result.result
    assert result.result_ref is not None
    assert result.result_ref.size == len(store.kept[0])


def test_a_cancelled_request_is_not_called_and_the_others_are(
    ask: Any, backend: Any, make_work: Make, cancellations: CancellationTracker
) -> None:
    work = [make_work([float(n), 0.0]) for n in range(3)]
    cancellations.cancel(work[1].request.id)
    results = {item.request.id: result for item, result in ask(*work)}
    assert [results[item.request.id].kind for item in work] == ["succeeded", "cancelled", "succeeded"]
    assert not results[work[1].request.id].asked
    # An execution before this one may have asked the model, and died.
    assert results[work[1].request.id].error == "cancelled before it was answered"
    assert [call["inputs"][0]["shape"][0] for call in backend.calls] == [2]


def test_cancelling_a_running_request_ends_it_at_once_and_drops_its_response(
    ask: Any, backend: Any, make_work: Make, cancellations: CancellationTracker
) -> None:
    ended: list[str] = []
    cancellations.on_cancel_running(lambda work, _since: ended.append(work.request.id))
    item, other = make_work(), make_work()

    def cancel(_: Any) -> None:
        cancellations.cancel(item.request.id)
        assert ended == [item.request.id], "while the call goes on"

    backend.fail = cancel
    results = {work.request.id: result for work, result in ask(item, other)}
    assert results[item.request.id].kind == "cancelled"
    assert not results[item.request.id].result
    assert results[other.request.id].kind == "succeeded"


def test_a_result_before_the_cancellation_counts(
    ask: Any, make_work: Make, cancellations: CancellationTracker
) -> None:
    ended: list[Work] = []
    cancellations.on_cancel_running(lambda work, _since: ended.append(work))
    item = make_work()
    ((_, result),) = ask(item)
    cancellations.cancel(item.request.id)
    assert (result.kind, ended) == ("succeeded", [])


def test_a_request_that_runs_twice_is_not_taken_for_cancelled(
    make_work: Make, cancellations: CancellationTracker
) -> None:
    item = make_work()
    cancellations.started([item])
    cancellations.started([item])
    assert cancellations.finished(item)
    assert cancellations.finished(item)


def test_requests_that_expired_during_earlier_calls_are_left_out(
    backend: Any, model: ModelSpec, make_work: Make
) -> None:
    """Calls of one placement follow each other, and the first may take all the time of the next."""
    now = [1_000_000.0]
    backend.max_payload = 100
    backend.fail = lambda _: now.__setitem__(0, now[0] + 5.0)
    work = [make_work(remaining=60.0), make_work(remaining=4.0), make_work(remaining=8.0)]
    cancellations = CancellationTracker(lambda: now[0])
    executor = PlacementExecutor(
        backend,
        lambda *_: model,
        PayloadStore(None),
        lambda: now[0],
        cancellations=cancellations,
        breakers=OpenBreakers("local", lambda: now[0]),
    )
    results = {item.request.id: result for item, result in executor.execute(work)}
    assert [results[item.request.id].kind for item in work] == ["succeeded", "expired", "expired"]
    assert [results[item.request.id].asked for item in work] == [True, False, True]
    assert backend.timeouts == [30.0, 3.0]


def test_an_open_breaker_gives_waiting_requests_back_except_the_probe(
    ask: Any, backend: Any, make_work: Make, breakers: OpenBreakers
) -> None:
    breakers.update(b'{"backend":"local","open":true,"at":1.0,"why":"5 of 5 calls failed"}')
    waited, probe = make_work(), make_work()
    probe.ticket.reason = Reason(
        policy="empirical", rule=3, f_t=1, F=50, r_d=10, D=100, s_f=True, s_d=False, probe=True
    )
    results = {item.request.id: result for item, result in ask(waited, probe)}
    assert (results[waited.request.id].kind, results[waited.request.id].error_class) == (
        "fault",
        "breaker_open",
    )
    assert results[waited.request.id].asked is False
    assert results[probe.request.id].kind == "succeeded"
    assert len(backend.calls) == 1


@pytest.mark.parametrize(
    "signal",
    [
        b"{",
        b'{"backend":"serverless","open":true,"at":1.0}',
        b'{"backend":"local","model":"another","open":true,"at":1.0}',
        b'{"backend":"local","model":"double","open":false,"at":1.0}',
    ],
)
def test_another_backends_breaker_is_ignored(
    ask: Any, make_work: Make, breakers: OpenBreakers, signal: bytes
) -> None:
    breakers.update(signal)
    ((_, result),) = ask(make_work())
    assert result.kind == "succeeded"


def test_a_breaker_without_news_counts_as_closed() -> None:
    now = [0.0]
    breakers = OpenBreakers("local", lambda: now[0])
    breakers.update(b'{"backend":"local","model":"double","open":true,"at":1.0,"why":"x"}')
    assert breakers.refusal("double") == "x"
    now[0] = STATE_TTL_S + 0.1
    assert breakers.refusal("double") is None
