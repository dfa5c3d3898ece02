"""Requests as the scheduler places them, and a backend without a network."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from straightline.contracts import Attempt, ModelSpec, Request, TensorSpec, Ticket
from straightline.ids import new_id
from workers.domain.placements import Work
from workers.protocol.base import BackendResponse, Health

NOW = 1_000_000.0


class FakeBackend:
    """Doubles what it is sent, row by row; `fail` may raise instead."""

    name = "local"
    max_payload: int | None = None

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.timeouts: list[float] = []
        self.fail: Callable[[dict[str, Any]], None] = lambda _: None
        self.answer: Callable[[dict[str, Any]], bytes] = double

    def infer(self, model: ModelSpec, body: bytes, timeout: float) -> BackendResponse:
        call = msgspec.json.decode(body)
        self.calls.append(call)
        self.timeouts.append(timeout)
        self.fail(call)
        return BackendResponse(body=self.answer(call), service=0.5)

    def health(self) -> Health:
        return Health(ok=True)

    def models(self) -> list[str] | None:
        return None

    def close(self) -> None:
        """Nothing is open."""


def double(call: dict[str, Any]) -> bytes:
    tensor = call["inputs"][0]
    data = [2 * value for value in tensor["data"]]
    response = {"model_name": "double", "outputs": [{**tensor, "name": "y", "data": data}]}
    return msgspec.json.encode(response if call.get("id") is None else {**response, "id": call["id"]})


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def model() -> ModelSpec:
    return ModelSpec(
        name="double",
        version="1",
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 2)),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 2)),),
        timeout=30.0,
    )


@pytest.fixture
def make_work() -> Callable[..., Work]:
    def make(
        data: list[float] | None = None,
        *,
        remaining: float = 60.0,
        attempts: list[Attempt] | None = None,
        body: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Work:
        rows = data or [1.0, 2.0]
        tensor = {"name": "x", "shape": [len(rows) // 2, 2], "datatype": "FP32", "data": rows}
        request = {"id": new_id(), "model": "double", "submitted_at": NOW, **fields}
        if "data_ref" not in fields:
            request["data"] = body or {"inputs": [tensor]}
        raw = msgspec.json.encode(request)
        ticket = Ticket(
            request=msgspec.Raw(raw),
            digest="d",
            submitted_at=NOW,
            received_at=NOW,
            placed_at=NOW,
            deadline=NOW + remaining,
            r_d=10,
            attempts=attempts or [],
        )
        return Work(ticket, msgspec.json.decode(raw, type=Request))

    return make


@pytest.fixture
def clock() -> Callable[[], float]:
    """Seconds since the epoch, which go on as the machine's do."""
    began = time.monotonic()
    return lambda: NOW + time.monotonic() - began
