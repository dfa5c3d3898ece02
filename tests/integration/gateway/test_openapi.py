"""The gateway answers every request as the OpenAPI document describes."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from gateway.http.rendering.openapi import document
from straightline.contracts import Outcome, Request
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.idle_leader import IdleLeader
from tests.integration.straightline.replier import Replier

pytestmark = pytest.mark.integration

RESULT = {"model_name": "double", "outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [2.0]}]}


@pytest.fixture(scope="module")
def api(running: Gateway) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{running.url}/openapi.json")


@pytest.fixture(scope="module")
def anything(place: tuple[object, str]) -> Iterator[None]:
    """Answers every request the same, whatever its tensors, and knows of none that has not ended."""

    def answer(request: Request) -> Outcome:
        return Outcome(
            request_id=request.id,
            state="succeeded",
            finished_at=time.time(),
            result=msgspec.Raw(msgspec.json.encode(RESULT)),
        )

    with Replier(place[1], answer), IdleLeader(place[1]):
        yield


OPERATIONS = [
    (method, path)
    for path, operations in document()["paths"].items()
    for method in operations
    if method in {"get", "post", "delete"}
]


def whole(content: Any) -> Any:
    """Write whole numbers as such: 1.0 is an integer to JSON Schema, not to the contracts' reader."""
    if isinstance(content, dict):
        return {key: whole(value) for key, value in content.items()}
    if isinstance(content, list):
        return [whole(value) for value in content]
    return int(content) if isinstance(content, float) and content.is_integer() else content


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.usefixtures("anything")
def test_every_response_is_described(
    api: schemathesis.BaseSchema, running: Gateway, method: str, path: str, mode: GenerationMode
) -> None:
    operation = api[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.headers):
        pytest.skip("nothing in it can be wrong")

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.body = whole(case.body)
        case.call_and_validate(headers={"Authorization": f"Bearer {running.key}"})

    check()
