"""A model whose tensors differ from its `model.toml` is refused before its first request."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from model_server.errors import InvalidInput
from model_server.models.bundle import read_bundle
from model_server.models.engine import load_engine
from modelkit.job_runtime.model_under_test import load_predict
from straightline.errors import ConfigurationError


def bundle(directory: Path, datatype: str, shape: str, taken: list[int | str | None]) -> Path:
    """Write a bundle whose model.toml says `shape`, with a model that takes `taken`."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "echo",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, taken)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    tensor = f'datatype = "{datatype}"\nshape = {shape}\n'
    (directory / "model.toml").write_text(
        'name = "echo"\nversion = "1"\nflavour = "onnx"\nartifact = "model.onnx"\n'
        f'[[inputs]]\nname = "x"\n{tensor}[[outputs]]\nname = "y"\n{tensor}'
    )
    return directory


@pytest.mark.parametrize(
    ("shape", "taken"),
    [("[-1, 4]", ["n", 4]), ("[2, 4]", ["n", 4]), ("[-1, 4]", [None, None]), ("[-1, -1]", ["n", 4])],
)
def test_a_compatible_shape_is_accepted(shape: str, taken: list[int | str | None], tmp_path: Path) -> None:
    load_engine(read_bundle(bundle(tmp_path, "FP32", shape, taken)))


@pytest.mark.parametrize(
    ("datatype", "shape", "told"),
    [
        ("FP32", "[-1, 5]", "takes 'x' as FP32 [-1, 4], but model.toml says FP32 [-1, 5]"),
        ("FP32", "[-1]", "takes 'x' as FP32 [-1, 4], but model.toml says FP32 [-1]"),
        ("INT64", "[-1, 4]", "takes 'x' as FP32 [-1, 4], but model.toml says INT64 [-1, 4]"),
    ],
)
def test_an_incompatible_input_is_refused_at_load_time(
    datatype: str, shape: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_engine(read_bundle(bundle(tmp_path, datatype, shape, ["n", 4])))
    assert told in str(caught.value)


def test_validation_refuses_inputs_that_a_server_refuses(tmp_path: Path) -> None:
    predict = load_predict(bundle(tmp_path, "FP32", "[-1, 5]", ["n", None]))
    assert predict({"x": np.zeros((2, 5), np.float32)})["y"].shape == (2, 5)
    with pytest.raises(InvalidInput, match=r"shape \[2, 4\], but model.toml says \[-1, 5\]"):
        predict({"x": np.zeros((2, 4), np.float32)})
