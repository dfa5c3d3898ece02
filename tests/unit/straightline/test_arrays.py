"""numpy arrays in and out."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from straightline.contracts import InferInput, InferOutput, Outcome
from straightline.contracts.tensors.arrays import DATATYPES, array_of, infer_request, tensor
from straightline.errors import ConfigurationError, ContractError, NoResult
from straightline.producer.submission import encode_data

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = [name for name in DATATYPES.values() if name not in {"object", "bool"}]


def output(datatype: str, shape: list[int], data: Any) -> InferOutput:
    return InferOutput(name="y", datatype=datatype, shape=shape, data=msgspec.Raw(msgspec.json.encode(data)))


@pytest.mark.parametrize("name", NUMBERS)
def test_the_bounds_of_every_datatype_survive_a_round_trip(name: str) -> None:
    limits: Any = np.finfo(name) if name.startswith("float") else np.iinfo(name)
    array = np.array([[limits.min, 0, limits.max]], dtype=name)
    again = array_of(tensor("x", array))
    assert again.dtype == array.dtype
    assert np.array_equal(again, array)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_floats_survive_a_round_trip_to_the_last_bit(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    assert array_of(tensor("x", array)).tobytes() == array.tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 3), (2, 1, 3), (70_000,), (3, 50_000)])
def test_every_shape_survives_a_round_trip(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int64).reshape(shape)
    made = tensor("x", array)
    assert made.shape == list(shape)
    assert np.array_equal(array_of(made), array)
    assert array_of(made).shape == shape


def test_an_array_that_is_not_contiguous_is_sent_row_by_row() -> None:
    array = np.arange(12).reshape(3, 4).T[::2]
    assert np.array_equal(array_of(tensor("x", array)), array)


@pytest.mark.parametrize(
    "array",
    [np.array(["a", "ä"]), np.array([b"a", "ä".encode()]), np.array(["a", "ä".encode()], dtype=object)],
    ids=["str", "bytes", "object"],
)
def test_texts_are_sent_as_bytes_and_returned_as_text(array: Any) -> None:
    made = tensor("x", array)
    assert made.datatype == "BYTES"
    assert array_of(made).tolist() == ["a", "ä"]


def test_booleans_are_booleans() -> None:
    made = tensor("x", np.array([True, False]))
    assert (made.datatype, bytes(made.data)) == ("BOOL", b"[true,false]")
    assert array_of(made).dtype == np.bool_


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([1.0, np.nan]), "NaN"),
        (np.array([np.inf], dtype=np.float16), "infinity"),
        (np.array([1j]), "complex128"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
        (np.array([{}]), "dict"),
        (np.array([b"\xff"]), "base64"),
    ],
)
def test_a_value_that_json_cannot_encode_is_refused_with_the_tensors_name(array: Any, words: str) -> None:
    with pytest.raises(ContractError, match=words) as caught:
        infer_request({"images": array})
    assert "'images'" in str(caught.value)


def test_arrays_are_data_and_so_is_whatever_becomes_one() -> None:
    class Like:
        def __array__(self, *_: Any, **__: Any) -> Any:
            return np.array([[7]], dtype=np.uint8)

    read = json.loads(encode_data({"a": np.zeros((1, 2), dtype=np.float32), "b": Like()}))
    assert read == {
        "inputs": [
            {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 0.0]},
            {"name": "b", "shape": [1, 1], "datatype": "UINT8", "data": [7]},
        ]
    }


def test_a_tensor_may_be_called_inputs() -> None:
    assert json.loads(encode_data({"inputs": np.array([1])}))["inputs"][0]["name"] == "inputs"


def test_a_request_may_name_its_outputs_and_parameters() -> None:
    made = infer_request({"x": np.array([1])}, outputs=["label"], parameters={"top": 3})
    assert (made.outputs, made.parameters) == ([{"name": "label"}], {"top": 3})


def test_a_nested_answer_is_read_as_well_as_a_flat_one() -> None:
    nested = output("FP32", [2, 2], [[1, 2], [3, 4]])
    assert array_of(nested).tolist() == array_of(output("FP32", [2, 2], [1, 2, 3, 4])).tolist()


def test_null_in_an_answer_is_not_a_number() -> None:
    assert np.isnan(array_of(output("FP32", [2], [1.0, None]))).tolist() == [False, True]


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("INT64", [1], [1.5]),
        ("INT64", [1], ["1"]),
        ("UINT8", [1], [256]),
        ("UINT8", [1], [-1]),
        ("INT64", [1], [None]),
        ("BOOL", [1], [1]),
        ("FP32", [1], ["1"]),
        ("FP32", [3], [1, 2]),
        ("FP32", [2, 2], [[1, 2], [3]]),
        ("FP32", [1], {"a": 1}),
        ("BYTES", [1], [7]),
        ("BF16", [1], [1]),
        ("FP32", [-2], [1]),
    ],
)
def test_data_that_does_not_match_its_datatype_or_shape_is_refused(
    datatype: str, shape: list[int], data: Any
) -> None:
    with pytest.raises(ContractError, match="'y'"):
        array_of(output(datatype, shape, data))


def test_an_outcome_gives_its_outputs_as_arrays() -> None:
    outputs = [output("INT64", [2], [7, 3])]
    result = msgspec.Raw(msgspec.json.encode({"model_name": "digits", "outputs": outputs}))
    outcome = Outcome(request_id="i", state="succeeded", finished_at=1.0, result=result)
    assert {name: array.tolist() for name, array in outcome.outputs().items()} == {"y": [7, 3]}
    assert outcome.response().model_name == "digits"


def test_an_outcome_without_an_answer_says_how_it_ended() -> None:
    outcome = Outcome(
        request_id="i", state="failed", finished_at=1.0, error_class="model_error", error="it stumbled"
    )
    with pytest.raises(NoResult, match="ended failed: model_error: it stumbled") as caught:
        outcome.outputs()
    assert (caught.value.request_id, caught.value.state) == ("i", "failed")


def test_a_missing_numpy_is_reported_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ConfigurationError, match="pip install"):
        array_of(InferInput(name="x", shape=[1], datatype="FP32", data=msgspec.Raw(b"[1]")))


def test_lists_do_not_import_numpy() -> None:
    code = (
        "import sys; from straightline.producer.submission import Submission, compose;"
        "compose(Submission(model='m', data={'inputs': []}), store=None, now=1.0);"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
