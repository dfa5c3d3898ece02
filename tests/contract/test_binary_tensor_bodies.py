"""Bodies with binary tensors that the gateway and the model server must both reject, with equal messages."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient

from gateway.http.app import build as build_gateway
from gateway.http.context import AppContext
from gateway.http.settings import Settings
from model_server.app import build as build_model_server
from model_server.models.engine import Engine
from model_server.models.registry import Registry
from straightline.contracts import ModelSpec, TensorSpec
from straightline.contracts.tensors.binary_tensors import LENGTH_HEADER
from straightline.models.catalogue import Catalogue

SPEC = ModelSpec(
    name="echo",
    version="1",
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1,)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1,)),),
)


class BadBody(NamedTuple):
    header: bytes
    rest: bytes
    error: str
    length: str | None = None
    """Value of the length header; None states the true length."""


def header(size: Any, **members: Any) -> bytes:
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    return json.dumps({"inputs": [tensor | members]}).encode()


def raw_size(size: str) -> bytes:
    """Return a header with a size that `json` would not write."""
    return header(0).replace(b'"binary_data_size": 0', b'"binary_data_size": ' + size.encode())


NOT_A_NUMBER = "Inference-Header-Content-Length is not a number of bytes"
NOT_AN_INTEGER = "it must be an integer >= 0"
BAD_BODIES = {
    "length of 5,000 digits": BadBody(header(8), b"\0" * 8, NOT_A_NUMBER, "9" * 5000),
    "length of 30 digits": BadBody(header(8), b"\0" * 8, NOT_A_NUMBER, "9" * 30),
    "length of 19 digits": BadBody(header(8), b"\0" * 8, "but the body has", "9" * 19),
    "empty length": BadBody(header(8), b"\0" * 8, NOT_A_NUMBER, ""),
    "length in words": BadBody(header(8), b"\0" * 8, NOT_A_NUMBER, "many"),
    "negative length": BadBody(header(8), b"\0" * 8, NOT_A_NUMBER, "-1"),
    "length with an exponent": BadBody(header(8), b"\0" * 8, NOT_A_NUMBER, "1e2"),
    "length with a fraction": BadBody(header(8), b"\0" * 8, NOT_A_NUMBER, "12.0"),
    "length in superscript": BadBody(header(8), b"\0" * 8, NOT_A_NUMBER, "\u00b2"),
    "length of zero": BadBody(header(8), b"\0" * 8, "is 0, but the body has", "0"),
    "length beyond the body": BadBody(header(8), b"\0" * 8, "is 1000, but the body has", "1000"),
    "boolean size": BadBody(header(True), b"\0", f"has binary_data_size True: {NOT_AN_INTEGER}"),
    "boolean size and data": BadBody(
        header(True, data=[1.0, 2.0]), b"\0", "both data and binary_data_size: send one of them"
    ),
    "size and data": BadBody(header(8, data=[1.0, 2.0]), b"\0" * 8, "both data and binary_data_size"),
    "negative size": BadBody(header(-1), b"", f"has binary_data_size -1: {NOT_AN_INTEGER}"),
    "text as size": BadBody(header("8"), b"\0" * 8, f"has binary_data_size '8': {NOT_AN_INTEGER}"),
    "float as size": BadBody(header(8.0), b"\0" * 8, f"has binary_data_size 8.0: {NOT_AN_INTEGER}"),
    "list as size": BadBody(header([8]), b"\0" * 8, f"has binary_data_size [8]: {NOT_AN_INTEGER}"),
    "size beyond the body": BadBody(header(8), b"\0" * 7, "has binary_data_size 8, but 7 bytes are left"),
    "size of 4,000 digits": BadBody(raw_size("9" * 4000), b"", f"{'9' * 32}, but 0 bytes are left"),
    "size of 5,000 digits": BadBody(raw_size("9" * 5000), b"", "Integer value out of range"),
    "no size and no data": BadBody(header(8, parameters={}), b"", "neither data nor binary_data_size"),
    "null as size": BadBody(header(None), b"", "neither data nor binary_data_size"),
    "bytes after the last tensor": BadBody(header(8), b"\0" * 9, "1 bytes after the last tensor"),
    "too few bytes for the shape": BadBody(header(4), b"\0" * 4, "4 bytes: its shape and datatype need 8"),
    "inputs that are no list": BadBody(b'{"inputs": 1}', b"", "the header is not a V2 infer request"),
    "deeply nested header": BadBody(b"[" * 100_000, b"", "the header is not a V2 infer request"),
    "header that is not UTF-8": BadBody(
        b'{"inputs": [{"name": "\xff"}]}', b"", "the header is not a V2 infer request"
    ),
}


class _Everyone:
    def require(self, _scope: str) -> None:
        """Accept any caller."""


class _Models:
    def catalogue(self) -> Catalogue:
        return Catalogue({"echo": {"1": SPEC}})


@pytest.fixture(scope="module")
def gateway() -> FlaskClient:
    unused: Any = None
    models: Any = _Models()
    auth: Any = _Everyone()
    context = AppContext(
        settings=Settings(broker_url="", database_url="", models_dir=Path()),
        broker=unused,
        ledger=unused,
        auth=auth,
        models=models,
        workers=unused,
        statuses=unused,
        store=None,
        requests=unused,
    )
    return build_gateway(context).test_client()


@pytest.fixture(scope="module")
def model_server() -> FlaskClient:
    engine = Engine(SPEC, lambda inputs: {"y": inputs["x"]})
    return build_model_server(Registry([engine]), max_body=1 << 20).test_client()


@pytest.mark.parametrize("server", ["gateway", "model_server"])
@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_rejected_with_its_reason(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, server: str, case: str
) -> None:
    client: FlaskClient = request.getfixturevalue(server)
    bad = BAD_BODIES[case]
    length = str(len(bad.header)) if bad.length is None else bad.length
    with caplog.at_level(logging.WARNING):
        answer = client.post(
            "/v2/models/echo/infer", data=bad.header + bad.rest, headers={LENGTH_HEADER: length}
        )
    assert answer.status_code == 400
    assert answer.json is not None
    assert bad.error in answer.json["error"]
    assert not caplog.records
