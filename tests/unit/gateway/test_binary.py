"""Binary tensors to and from the JSON form."""

import json
import struct
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.http.rendering import binary
from gateway.http.rendering.problems import ApiError
from gateway.http.routes import v2
from straightline.contracts import InferResponse, Outcome
from straightline.contracts.tensors.binary_tensors import take_binary_outputs
from straightline.contracts.tensors.v2 import InferOutput
from straightline.errors import ContractError

DTYPES = {"FP32": "<f4", "FP64": "<f8", "INT64": "<i8", "UINT8": "u1", "BOOL": "?", "FP16": "<f2"}


@given(st.data())
def test_binary_tensors_become_json_and_back(data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from(list(DTYPES)))
    dtype = np.dtype(DTYPES[datatype])
    elements = hnp.from_dtype(dtype, allow_nan=False, allow_infinity=False)
    array = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_side=0, max_side=4), elements=elements))
    raw = array.tobytes()
    head = {
        "inputs": [
            {
                "name": "x",
                "shape": list(array.shape),
                "datatype": datatype,
                "parameters": {"binary_data_size": len(raw)},
            }
        ]
    }
    header = json.dumps(head).encode()
    request = binary.read_request(header + raw, str(len(header)))
    tensor = request.inputs[0]
    assert tensor.parameters == {}
    assert np.array_equal(np.array(json.loads(bytes(tensor.data)), dtype).reshape(array.shape), array)
    output = InferOutput(name="x", shape=tensor.shape, datatype=datatype, data=tensor.data)
    body, length = binary.write_response(InferResponse(model_name="m", outputs=[output]), binary=True)
    assert length is not None
    assert body[length:] == raw


def test_bytes_elements_follow_their_lengths() -> None:
    raw = b"".join(struct.pack("<I", len(text)) + text for text in (b"a", "ü".encode(), b""))
    head = {
        "inputs": [
            {"name": "t", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
        ]
    }
    header = json.dumps(head).encode()
    request = binary.read_request(header + raw, str(len(header)))
    assert json.loads(bytes(request.inputs[0].data)) == ["a", "ü", ""]
    output = InferOutput(name="t", shape=[3], datatype="BYTES", data=request.inputs[0].data)
    body, length = binary.write_response(
        InferResponse(model_name="m", outputs=[output]), binary=frozenset({"t"})
    )
    assert body[length:] == raw


@given(st.binary(max_size=300), st.integers(-5, 400))
def test_any_body_is_decoded_or_rejected(body: bytes, length: int) -> None:
    with suppress(ContractError):
        binary.read_request(body, str(length))


@pytest.mark.parametrize(
    ("tensor", "raw", "words"),
    [
        ({"shape": [2], "datatype": "FP32"}, b"1234", "8"),
        ({"shape": [-1], "datatype": "FP32"}, b"1234", "shape"),
        ({"shape": [1] * 17, "datatype": "FP32"}, b"1234", "17 dimensions"),
        ({"shape": [2], "datatype": "BOOL"}, b"\1\2", "neither 0 nor 1"),
        ({"shape": [1], "datatype": "BF16"}, b"12", "BF16"),
        ({"shape": [1], "datatype": "FP32"}, struct.pack("<f", float("nan")), "finite"),
        ({"shape": [2], "datatype": "BYTES"}, b"\x01\x00\x00\x00a", "2 elements"),
        ({"shape": [1], "datatype": "BYTES"}, b"\x01\x00\x00\x00\xff", "UTF-8"),
    ],
)
def test_the_error_names_the_invalid_tensor(tensor: dict[str, Any], raw: bytes, words: str) -> None:
    head = {"inputs": [{"name": "mine", **tensor, "parameters": {"binary_data_size": len(raw)}}]}
    header = json.dumps(head).encode()
    with pytest.raises(ContractError, match=f"mine.*{words}"):
        binary.read_request(header + raw, str(len(header)))


def test_binary_output_parameters_are_removed_from_the_request() -> None:
    head: dict[str, Any] = {
        "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}],
        "outputs": [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}],
        "parameters": {"binary_data_output": False},
    }
    encoded = json.dumps(head).encode()
    request = binary.read_request(encoded, str(len(encoded)))
    assert take_binary_outputs(request) == frozenset({"a"})
    assert "binary" not in msgspec.json.encode(request).decode()


@pytest.mark.parametrize(
    "output",
    [
        b'{"name":"y","shape":[1],"datatype":"BYTES","data":[["nested"]]}',
        b'{"name":"y","shape":[1],"datatype":"FP32","data":["text"]}',
        b'{"name":"y","shape":[1],"datatype":"UINT8","data":[300]}',
        b'{"name":"y","shape":[1],"datatype":"INT64","data":{"not":"a list"}}',
    ],
)
def test_a_result_that_has_no_binary_form_is_the_backends_fault(output: bytes) -> None:
    result = msgspec.Raw(b'{"model_name":"m","outputs":[' + output + b"]}")
    outcome = Outcome(request_id="1", state="succeeded", finished_at=1.0, result=result)
    with pytest.raises(ApiError) as failed:
        v2._infer_response(outcome, binary_outputs=True)
    assert (failed.value.problem.status, failed.value.problem.error_class) == (502, "bad_result")
