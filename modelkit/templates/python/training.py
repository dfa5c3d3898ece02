"""Training and validation of the model. Replace the data and the fit by your own.

Import modules of this directory relatively (`from .mine import ...`).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def train(output: Path, report: Callable[[float, float, str], None]) -> None:
    """Fit the model and write `weights.npy` into `output`; `report(done, total, text)` shows the progress."""
    features, targets = data(seed=1)
    weights = np.zeros((4, 1), dtype=np.float32)
    for epoch in range(1, 101):
        error = features @ weights - targets
        weights -= 0.1 * (features.T @ error) / len(features)
        report(epoch, 100, f"loss {float(np.square(error).mean()):.4f}")
    np.save(output / "weights.npy", weights)


def validate(predict: Callable[[dict[str, Array]], dict[str, Array]]) -> dict[str, float]:
    """Return metrics by name; `predict` calls the model, and `model.toml` names the metric that decides."""
    features, targets = data(seed=2)
    estimate = predict({"features": features})["estimate"]
    return {"r2": float(1 - np.square(estimate - targets).sum() / np.square(targets - targets.mean()).sum())}


def data(seed: int) -> tuple[Array, Array]:
    """Return features `[500, 4]` and targets `[500, 1]`: a plane with noise."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(500, 4)).astype(np.float32)
    noise = random.normal(scale=0.1, size=(500, 1))
    return features, (features @ [[1.0], [-2.0], [0.5], [3.0]] + noise).astype(np.float32)
