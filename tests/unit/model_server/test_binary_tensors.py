"""Binary tensors as Triton's own client writes and reads them, and invalid ones."""

import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as triton
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model_server.app import ERROR_HEADER, build
from model_server.models.engine import Engine
from model_server.models.registry import Registry
from model_server.models.runtimes import Tensors
from model_server.tensors.datatypes import BYTES, NUMPY
from straightline.contracts import ModelSpec, TensorSpec
from straightline.contracts.tensors.binary_tensors import LENGTH_HEADER


def serve(datatype: str, shape: tuple[int, ...], answer: Any = None) -> FlaskClient:
    """Serve a model that returns its input, or `answer`."""

    def predict(inputs: Tensors) -> Tensors:
        if answer is not None:
            return {"y": answer}
        if inputs["x"].size and inputs["x"].dtype.kind != "O":
            inputs["x"].flat[0] = inputs["x"].flat[0]  # a model may write to its inputs
        return {"y": inputs["x"]}

    spec = ModelSpec(
        name="echo",
        version="1",
        inputs=(TensorSpec(name="x", datatype=datatype, shape=shape),),
        outputs=(TensorSpec(name="y", datatype=datatype, shape=shape),),
    )
    return build(Registry([Engine(spec, predict)]), max_body=1 << 20).test_client()


def post(client: FlaskClient, body: bytes, length: int | str | None) -> Any:
    headers = {} if length is None else {LENGTH_HEADER: str(length)}
    return client.post("/v2/models/echo/infer", data=body, headers=headers)


def ask(
    client: FlaskClient, datatype: str, array: npt.NDArray[Any], *, into: bool = True, out: bool = True
) -> npt.NDArray[Any]:
    """Call the server through tritonclient's encoding and decoding."""
    tensor = triton.InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=into)
    wish = [triton.InferRequestedOutput("y", binary_data=out)]
    body, length = triton.InferenceServerClient.generate_request_body([tensor], outputs=wish)
    answer = post(client, body, length)
    assert answer.status_code == 200, answer.json
    told = answer.headers.get(LENGTH_HEADER)
    assert (told is not None) == out
    found = triton.InferenceServerClient.parse_response_body(
        answer.data, header_length=None if told is None else int(told)
    )
    back: npt.NDArray[Any] = found.as_numpy("y")
    return back


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, npt.NDArray[Any]]:
    """Draw an array of any datatype, including NaN and infinities."""
    datatype = draw(st.sampled_from(list(NUMPY)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    elements: Any = (
        hnp.from_dtype(NUMPY[datatype]) if datatype != BYTES else st.text("aé\0\U0001f600", max_size=5)
    )
    return datatype, draw(hnp.arrays(NUMPY[datatype], shape, elements=elements))


@given(arrays())
def test_a_binary_tensor_round_trips_bit_by_bit(case: tuple[str, npt.NDArray[Any]]) -> None:
    datatype, array = case
    back = ask(serve(datatype, (-1,) * array.ndim), datatype, array)
    assert back.shape == array.shape
    if datatype == BYTES:
        assert [each.decode() for each in back.ravel()] == array.ravel().tolist()
    else:
        assert back.dtype == array.dtype or not array.size  # the client cannot decode empty tensors
        assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(("into", "out"), [(True, False), (False, True)])
def test_request_and_response_may_mix_json_and_binary(into: bool, out: bool) -> None:
    array = np.array([[1.5, -2.0]], dtype=np.float32)
    assert ask(serve("FP32", (-1, 2)), "FP32", array, into=into, out=out).tolist() == [[1.5, -2.0]]


def test_binary_output_is_set_per_request_and_overridden_per_output() -> None:
    tensor = {"name": "x", "shape": [2], "datatype": "INT64", "data": [1, 2]}
    client = serve("INT64", (-1,))
    everything = {"inputs": [tensor], "parameters": {"binary_data_output": True}, "id": "7"}
    answer = post(client, json.dumps(everything).encode(), None)
    length = int(answer.headers[LENGTH_HEADER])
    assert answer.mimetype == "application/octet-stream"
    assert answer.data[length:] == struct.pack("<qq", 1, 2)
    assert json.loads(answer.data[:length]) == {
        "model_name": "echo",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "y", "shape": [2], "datatype": "INT64", "parameters": {"binary_data_size": 16}}],
    }
    but = everything | {"outputs": [{"name": "y", "parameters": {"binary_data": False}}]}
    answer = post(client, json.dumps(but).encode(), None)
    assert LENGTH_HEADER not in answer.headers
    assert answer.json["outputs"][0]["data"] == [1, 2]


def test_an_output_keeps_row_major_order_and_gets_its_datatype() -> None:
    turned = np.arange(6, dtype=np.int32).reshape(2, 3).T
    back = ask(serve("INT64", (3, 2), turned), "INT64", np.zeros((3, 2), np.int64))
    assert back.dtype == np.int64
    assert back.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_binary_output_may_have_bytes_that_are_not_text() -> None:
    client = serve(BYTES, (-1,), np.array([b"\xff\0", "é"], dtype=object))
    assert ask(client, BYTES, np.array(["a"], dtype=object)).tolist() == [b"\xff\0", "é".encode()]


@pytest.mark.parametrize("answer", [np.array([300]), np.array([1.5]), np.array(["a"])])
def test_an_output_of_another_datatype_is_a_model_error(answer: npt.NDArray[Any]) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}
    body = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    told = post(serve("INT8", (-1,), answer), json.dumps(body).encode(), None)
    assert (told.status_code, told.headers[ERROR_HEADER]) == (422, "model_error")


def test_an_invalid_string_in_an_output_is_a_model_error() -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    body = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    told = post(serve(BYTES, (-1,), np.array(["\ud800"], dtype=object)), json.dumps(body).encode(), None)
    assert (told.status_code, told.headers[ERROR_HEADER]) == (422, "model_error")


def header(size: Any, datatype: str = "FP32", **more: Any) -> bytes:
    tensor = {"name": "x", "shape": [2], "datatype": datatype, "parameters": {"binary_data_size": size}}
    return json.dumps({"inputs": [tensor | more]}).encode()


WORDS = struct.pack("<I1sI1s", 1, b"a", 1, b"b")


@pytest.mark.parametrize(
    ("datatype", "head", "rest", "told"),
    [
        ("FP32", header(8, shape=[-2]), b"\0" * 8, "-2"),
        ("FP32", header(8, shape=[1, 2]), b"\0" * 8, "must be FP32 [-1]"),
        ("FP32", header(8, name="z"), b"\0" * 8, "it takes ['x']"),
        ("FP32", header(8, "INT32"), b"\0" * 8, "must be FP32"),
        ("BOOL", header(2, "BOOL"), b"\1\2", "neither 0 nor 1"),
        ("BYTES", header(9, "BYTES"), WORDS[:9], "does not have 2 elements"),
        ("BYTES", header(7, "BYTES"), WORDS[:7], "does not have 2 elements"),
        ("BYTES", header(5, "BYTES"), WORDS[:5], "does not have 2 elements"),
        ("BYTES", header(15, "BYTES"), WORDS + WORDS[:5], "does not have 2 elements"),
        ("BYTES", header(10, "BYTES"), b"\xff" * 10, "does not have 2 elements"),
        ("BYTES", header(10, "BYTES"), WORDS.replace(b"a", b"\xff"), "not UTF-8"),
    ],
)
def test_a_body_that_contradicts_its_header_is_refused(
    datatype: str, head: bytes, rest: bytes, told: str
) -> None:
    answer = post(serve(datatype, (-1,)), head + rest, len(head))
    assert (answer.status_code, answer.headers[ERROR_HEADER]) == (400, "invalid_input")
    assert told in answer.json["error"]


@given(st.integers(0, 80), st.binary(max_size=80))
def test_arbitrary_bodies_get_a_client_error(length: int, rest: bytes) -> None:
    whole = header(8) + rest
    answer = post(serve("FP32", (-1,)), whole, len(header(8)) + 40 - length)
    assert answer.status_code in (200, 400)


def test_server_metadata_names_the_binary_extension() -> None:
    told: Any = serve("FP32", (-1,)).get("/v2").json
    assert told["extensions"] == ["binary_tensor_data"]
