"""Training of the digits model."""

import warnings
from pathlib import Path
from typing import Any, Final

from skl2onnx import to_onnx
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # it publishes no types

from .data import Images, Labels, training

EPOCHS: Final = 60
OPSET: Final = {"": 18, "ai.onnx.ml": 3}
"""Pinned, so that the file does not depend on the exporter's version and older runtimes can read it."""


def train(output: Path) -> None:
    """Train the classifier and write `model.onnx` into `output`."""
    images, labels = training()
    (output / "model.onnx").write_bytes(export(fit(images, labels), images))


def fit(images: Images, labels: Labels) -> Any:
    """Return a fitted classifier: one hidden layer on standardised pixels."""
    model = make_pipeline(
        StandardScaler(),
        MLPClassifier((256,), alpha=1e-2, learning_rate_init=3e-3, max_iter=EPOCHS, random_state=0),
    )
    # A model this small gains nothing from more threads, and waits for them on a busy machine.
    with warnings.catch_warnings(), threadpool_limits(1):
        # The number of epochs is fixed. The held-out accuracy decides, not convergence.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(images, labels)


def export(model: Any, images: Images) -> bytes:
    """Return the classifier as ONNX with the tensors of `model.toml`.

    Args:
        model: what `fit` returned.
        images: a sample of its input, for the datatype.
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
