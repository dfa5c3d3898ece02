"""Joining and splitting change no number and mix no rows."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from straightline.contracts import InferRequest, InferResponse
from workers.domain.merging import MergeError, Part, join, signature, split

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def asked(*tensors: dict[str, Any], **members: Any) -> InferRequest:
    return msgspec.json.decode(json.dumps({"inputs": list(tensors), **members}), type=InferRequest)


def tensor(shape: list[int], data: Any, **members: Any) -> dict[str, Any]:
    return {"name": "x", "shape": shape, "datatype": "FP32", "data": data, **members}


@st.composite
def requests(draw: st.DrawFn) -> list[tuple[int, list[list[float]]]]:
    width = draw(st.integers(1, 3))
    row = st.lists(FLOATS, min_size=width, max_size=width)
    return [(width, rows) for rows in draw(st.lists(st.lists(row, max_size=4), min_size=2, max_size=5))]


@given(requests(), st.booleans())
def test_every_request_gets_the_results_of_its_own_rows(
    drawn: list[tuple[int, list[list[float]]]], nested: bool
) -> None:
    given_requests = [
        asked(
            tensor([len(rows), width], rows if nested else [value for row in rows for value in row]),
            id=str(index),
        )
        for index, (width, rows) in enumerate(drawn)
    ]
    body, parts = join(given_requests)
    merged = json.loads(body)["inputs"][0]
    answer = msgspec.json.decode(
        json.dumps({"model_name": "echo", "outputs": [{**merged, "name": "y"}]}), type=InferResponse
    )
    for request, result, (width, rows) in zip(given_requests, split(answer, parts), drawn, strict=True):
        output = json.loads(bytes(result))["outputs"][0]
        assert output["shape"] == [len(rows), width]
        assert output["data"] == json.loads(bytes(request.inputs[0].data))
        assert json.loads(bytes(result))["id"] == request.id


def test_numbers_keep_their_text() -> None:
    first = msgspec.json.decode(
        b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[ 1.10, 1E3 ]}]}', type=InferRequest
    )
    body, _ = join([first, first])
    assert b"1.10, 1E3,1.10, 1E3" in body


@pytest.mark.parametrize(
    "request_",
    [
        asked(tensor([2, 2], [1, 2, 3])),
        asked(tensor([2, 2], [1, 2, 3, 4, 5])),
        asked(tensor([2, 2], [[1, 2]])),
        asked(tensor([1, 2], "12")),
        asked(tensor([1, 2], None)),
        asked(tensor([], [1])),
        asked(tensor([1, 2], [1, 2]), outputs=[{"name": "y"}]),
        asked(tensor([1, 2], [1, 2]), parameters={"a": 1}),
        asked(tensor([1, 2], [1, 2], parameters={"a": 1})),
        asked(tensor([1, 1], [1]), tensor([2, 1], [1, 2])),
        asked(),
    ],
)
def test_a_request_whose_data_does_not_fit_its_shape_goes_alone(request_: InferRequest) -> None:
    assert signature(request_) is None


def test_only_requests_of_one_signature_are_joined() -> None:
    kinds = [
        asked(tensor([1, 2], [1, 2])),
        asked(tensor([1, 2], [[1, 2]])),
        asked(tensor([1, 3], [1, 2, 3])),
        asked(tensor([1, 2], [1, 2], datatype="FP64")),
        asked(tensor([1, 2], [1, 2], name="z")),
        asked(tensor([1, 2], ["a,b", "[c"], datatype="BYTES")),
    ]
    signatures = [signature(kind) for kind in kinds]
    assert None not in signatures
    assert len(set(signatures)) == len(kinds)


@pytest.mark.parametrize(
    "output", [tensor([3, 1], [1, 2, 3]), tensor([2, 2], [1, 2, 3]), tensor([], [1]), tensor([2, 1], 5)]
)
def test_a_response_with_a_different_number_of_rows_is_not_split(output: dict[str, Any]) -> None:
    answer = msgspec.json.decode(json.dumps({"model_name": "m", "outputs": [output]}), type=InferResponse)
    with pytest.raises(MergeError):
        split(answer, [Part(None, 1), Part(None, 1)])


def test_an_output_with_parameters_is_not_split() -> None:
    output = {"name": "y", "shape": [2, 1], "datatype": "FP32", "data": [None, 1]}
    answer = msgspec.json.decode(
        json.dumps({"model_name": "echo", "outputs": [{**output, "parameters": {"non_finite": 1}}]}),
        type=InferResponse,
    )
    with pytest.raises(MergeError, match="non_finite"):
        split(answer, [Part("0", 1), Part("1", 1)])
