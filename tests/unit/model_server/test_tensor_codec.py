"""V2 tensors round-trip through numpy; invalid ones are refused with the tensor's name."""

import json
import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model_server.errors import InvalidInput, ModelError
from model_server.tensors.datatypes import BYTES, NUMPY
from model_server.tensors.decode import decode_tensor
from model_server.tensors.encode import encode_tensor
from straightline.contracts import InferInput

NUMBERS = [name for name in NUMPY if name != BYTES]


def tensor(datatype: str, shape: list[int], content: Any) -> InferInput:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return InferInput(name="x", shape=shape, datatype=datatype, data=msgspec.Raw(data))


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, npt.NDArray[Any]]:
    datatype = draw(st.sampled_from(list(NUMPY)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    if datatype == BYTES:
        elements: Any = st.text(st.characters(exclude_categories=["Cs"]))
    elif NUMPY[datatype].kind == "f":
        elements = hnp.from_dtype(NUMPY[datatype], allow_nan=False, allow_infinity=False)
    else:
        elements = hnp.from_dtype(NUMPY[datatype])
    return datatype, draw(hnp.arrays(NUMPY[datatype], shape, elements=elements))


@given(arrays())
def test_a_flat_tensor_round_trips(case: tuple[str, npt.NDArray[Any]]) -> None:
    datatype, array = case
    back = decode_tensor(encode_tensor("x", datatype, array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert np.array_equal(back, array)


@given(arrays())
def test_a_nested_tensor_round_trips(case: tuple[str, npt.NDArray[Any]]) -> None:
    datatype, array = case
    if array.ndim == 0:
        array = array.reshape(1)
    back = decode_tensor(tensor(datatype, list(array.shape), array.tolist()))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert np.array_equal(back, array)


@given(st.sampled_from(list(NUMPY)), st.lists(st.integers(-2, 4), max_size=4), st.binary(max_size=40))
def test_arbitrary_bytes_raise_only_invalid_input(datatype: str, shape: list[int], data: bytes) -> None:
    try:
        array = decode_tensor(tensor(datatype, shape, data))
    except InvalidInput:
        return
    assert array.shape == tuple(shape)


@pytest.mark.parametrize(
    ("datatype", "shape", "content", "told"),
    [
        ("FP32", [2], [1.0], "1 elements, its shape [2] needs 2"),
        ("FP32", [1, 2], [1.0, 2.0, 3.0], "3 elements"),
        ("FP32", [2, 2], [[1.0, 2.0], [3.0]], "nested unevenly"),
        ("FP32", [2, 3], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "nested as [3, 2]"),
        ("FP32", [2, 2], [[[1.0, 2.0], [3.0, 4.0]]], "not FP32"),
        ("FP32", [1], ["1"], "Expected `float`, got `str`"),
        ("FP32", [1], [None], "got `null`"),
        ("FP32", [1], [True], "got `bool`"),
        ("FP32", [1], {"a": 1}, "not FP32"),
        ("FP32", [1], [1e300], "outside the range of FP32"),
        ("FP16", [1], [1e6], "outside the range of FP16"),
        ("FP64", [1], b"[NaN]", "not FP64"),
        ("INT8", [1], [128], "outside the range of INT8"),
        ("UINT8", [1], [-1], "outside the range of UINT8"),
        ("INT64", [1], [2**63], "outside the range of INT64"),
        ("INT32", [1], [1.5], "not INT32"),
        ("BOOL", [1], [1], "not BOOL"),
        ("BYTES", [1], [7], "not BYTES"),
        ("FP32", [-1], [], "has an invalid shape"),
        ("FP32", [1] * 17, [1.0], "has an invalid shape"),
        ("FP32", [10**30, 10**30], [1.0], "1 elements"),
        ("FP32", [1], b"[1.0", "not FP32"),
        ("FP32", [1], b'["\xff"]', "not FP32"),
        ("BF16", [1], [1.0], "BF16"),
    ],
)
def test_invalid_content_is_refused_with_the_reason(
    datatype: str, shape: list[int], content: Any, told: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_tensor(tensor(datatype, shape, content))
    assert told in str(caught.value)


def test_integers_are_accepted_as_floats() -> None:
    assert decode_tensor(tensor("FP32", [2], [1, 2])).tolist() == [1.0, 2.0]


def test_whitespace_before_brackets_does_not_hide_nesting() -> None:
    assert decode_tensor(tensor("INT64", [1, 2], b" \n[ \t[1, 2]]")).tolist() == [[1, 2]]


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_non_finite_values_are_null_and_counted(values: list[float]) -> None:
    output = encode_tensor("y", "FP32", np.array(values, dtype=np.float32))
    content = json.loads(bytes(output.data))
    assert [each is None for each in content] == [not math.isfinite(each) for each in values]
    count = sum(each is None for each in content)
    assert output.parameters == ({"non_finite": count} if count else {})


def test_an_unsafe_cast_of_an_output_is_a_model_error() -> None:
    assert json.loads(bytes(encode_tensor("y", "INT64", np.array([1], dtype=np.int32)).data)) == [1]
    with pytest.raises(ModelError, match="outside the range of INT8"):
        encode_tensor("y", "INT8", np.array([300]))
    with pytest.raises(ModelError, match=r"model\.toml says INT64"):
        encode_tensor("y", "INT64", np.array([1.5]))
    with pytest.raises(ModelError, match="not UTF-8"):
        encode_tensor("y", "BYTES", np.array([b"\xff"], dtype=object))
    with pytest.raises(ModelError, match="has a int"):
        encode_tensor("y", "BYTES", np.array([1], dtype=object))
    assert json.loads(bytes(encode_tensor("y", "BYTES", np.array(["é", "a"])).data)) == ["é", "a"]


def test_a_non_contiguous_array_keeps_row_major_order() -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3).T
    assert json.loads(bytes(encode_tensor("y", "INT64", array).data)) == [0, 3, 1, 4, 2, 5]
