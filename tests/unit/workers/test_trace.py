"""A backend call carries the trace of its own request and of no other."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from straightline.contracts import ModelSpec
from workers.backends.serverless import LambdaBackend
from workers.coordination.breakers import OpenBreakers
from workers.coordination.cancellation import CancellationTracker
from workers.domain.placements import Work
from workers.execution.executor import PlacementExecutor
from workers.execution.payloads import PayloadStore
from workers.protocol import trace
from workers.protocol.v2_http import V2Client

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BOTH = {"traceparent": PARENT, "tracestate": "vendor=1"}
Make = Callable[..., Work]


def traced(work: Work, parent: str | None = PARENT, state: str | None = "vendor=1") -> Work:
    work.ticket.trace, work.ticket.trace_state = parent, state
    return work


@pytest.fixture
def seen(
    backend: Any, model: ModelSpec, clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, str]]]:
    """Answer requests, and return the trace of each call."""
    found: list[dict[str, str]] = []
    ask = backend.infer

    def infer(*arguments: Any) -> Any:
        found.append(dict(trace.current_headers()))
        return ask(*arguments)

    monkeypatch.setattr(backend, "infer", infer)

    def execute(*work: Work) -> list[dict[str, str]]:
        found.clear()
        parts = {"cancellations": CancellationTracker(clock), "breakers": OpenBreakers("local", clock)}
        PlacementExecutor(backend, lambda *_: model, PayloadStore(None), clock, **parts).execute(work)  # type: ignore[arg-type]
        assert trace.current_headers() == {}
        return found

    return execute


def test_a_call_carries_the_trace_of_its_request(seen: Any, make_work: Make) -> None:
    assert seen(traced(make_work([1.0, 0.0]))) == [BOTH]
    assert seen(traced(make_work([1.0, 0.0]), state=None)) == [{"traceparent": PARENT}]
    assert seen(make_work([1.0, 0.0])) == [{}]
    assert seen(traced(make_work([1.0, 0.0]), parent="a line\nand another")) == [{}]


def test_a_call_for_several_joins_the_first_trace(seen: Any, make_work: Make) -> None:
    assert seen(make_work([1.0, 0.0]), traced(make_work([2.0, 0.0]))) == [BOTH]


def test_a_model_server_gets_headers(model: ModelSpec, make_work: Make) -> None:
    sent: list[Mapping[str, str]] = []

    class Client:
        def request(self, *arguments: Any) -> tuple[int, bytes]:
            sent.append(arguments[3])
            return 200, b"{}"

    client = V2Client("http://127.0.0.1:1")
    client._http = Client()  # type: ignore[assignment]
    with trace.trace_scope([traced(make_work([1.0, 0.0])).ticket]):
        client.infer(model, b"{}", 1.0)
    assert sent == [{"Content-Type": "application/json", **BOTH}]


def test_a_function_gets_a_client_context(
    model: ModelSpec, make_work: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(Exception):  # noqa: N818 - what was to be seen has been
        pass

    sent: list[dict[str, Any]] = []

    class Client:
        def invoke(self, **options: Any) -> None:
            sent.append(options)
            raise Asked

    backend = LambdaBackend.__new__(LambdaBackend)
    backend._known = None
    monkeypatch.setattr(backend, "_client", lambda _timeout: Client())
    for work in (traced(make_work([1.0, 0.0])), make_work([1.0, 0.0])):
        with trace.trace_scope([work.ticket]), pytest.raises(Asked):
            backend.infer(model, b"{}", 1.0)
    context = base64.b64decode(sent[0]["ClientContext"])
    assert json.loads(context) == {"custom": BOTH}
    assert "ClientContext" not in sent[1]
    assert msgspec.json.decode(sent[1]["Payload"]) == {}
