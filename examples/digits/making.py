"""Makes and measures the digits model: its entry points for modelkit."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from skl2onnx import to_onnx
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # it publishes no types

from .data import Images, Labels, held_out, training

EPOCHS: Final = 60
OPSET: Final = {"": 18, "ai.onnx.ml": 3}
"""Pinned, so that the file does not change with the exporter, and older runtimes read it."""


def train(output: Path) -> None:
    """Write `model.onnx` into `output`."""
    images, labels = training()
    (output / "model.onnx").write_bytes(export(fit(images, labels), images))


def validate(predict: Callable[[dict[str, Any]], Mapping[str, Any]]) -> dict[str, float]:
    """Return the share of the held-out images that the model labels right, as `accuracy`."""
    images, labels = held_out()
    return {"accuracy": float((predict({"images": images})["label"] == labels).mean())}


def fit(images: Images, labels: Labels) -> Any:
    """Return a fitted classifier: one hidden layer on standardised pixels."""
    model = make_pipeline(
        StandardScaler(),
        MLPClassifier((256,), alpha=1e-2, learning_rate_init=3e-3, max_iter=EPOCHS, random_state=0),
    )
    # One thread: so small a model gains nothing by more, and waits for them where others have work too.
    with warnings.catch_warnings(), threadpool_limits(1):
        # The number of epochs is fixed: it need not converge, the held-out accuracy decides.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(images, labels)


def export(model: Any, images: Images) -> bytes:
    """Return the classifier as ONNX with the tensors of `model.toml`.

    Args:
        model: what `fit` returned.
        images: any of its input, for the type.
    """
    onnx = to_onnx(
        model,
        X=images[:1],
        options={"zipmap": False, "output_class_labels": False},
        target_opset=OPSET,
    )
    _rename(onnx.graph, {onnx.graph.input[0].name: "images"})
    return onnx.SerializeToString()


def _rename(graph: Any, names: dict[str, str]) -> None:
    for tensor in graph.input:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
