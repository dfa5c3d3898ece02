"""`python -m examples.digits.train --out MODELS`: train the digits model and write its bundle."""

import argparse
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import onnxruntime
from skl2onnx import to_onnx
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # it publishes no types

from examples.digits.data import Images, Labels, held_out, training

MINIMUM_ACCURACY: Final = 0.97
EPOCHS: Final = 60
OPSET: Final = {"": 18, "ai.onnx.ml": 3}
"""Pinned, so that the file does not change with the exporter, and older runtimes read it."""


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


def accuracy(onnx: bytes) -> float:
    """Return the share of the held-out images that the exported model labels right."""
    images, labels = held_out()
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    (found,) = session.run(["label"], {"images": images})
    return float((found == labels).mean())


def write_bundle(onnx: bytes, models: Path) -> Path:
    """Put `digits/1` under `models`; it appears whole, or not at all."""
    target = models / "digits" / "1"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".digits-", dir=models) as scratch:
        # Two folders down, where no reader of `<name>/<version>/model.toml` looks.
        fresh, old = Path(scratch) / "bundle" / "fresh", Path(scratch) / "bundle" / "old"
        fresh.mkdir(parents=True)
        (fresh / "model.onnx").write_bytes(onnx)
        shutil.copy(Path(__file__).with_name("model.toml"), fresh / "model.toml")
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    return target


def main(arguments: list[str] | None = None) -> int:
    """Train, check, write; 1 with a line on stderr where the model is not good enough."""
    parser = argparse.ArgumentParser(prog="python -m examples.digits.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory of models; gets digits/1/")
    options = parser.parse_args(arguments)
    images, labels = training()
    onnx = export(fit(images, labels), images)
    reached = accuracy(onnx)
    if reached < MINIMUM_ACCURACY:
        print(
            f"The accuracy is {reached:.4f}, below {MINIMUM_ACCURACY}: nothing was written.", file=sys.stderr
        )
        return 1
    target = write_bundle(onnx, options.out)
    print(f"digits 1: held-out accuracy {reached:.4f}, {len(onnx)} bytes, written to {target}")
    return 0


def _rename(graph: Any, names: dict[str, str]) -> None:
    for tensor in graph.input:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


if __name__ == "__main__":
    sys.exit(main())
