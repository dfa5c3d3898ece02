"""Evaluation of the digits model."""

from collections.abc import Callable, Mapping
from typing import Any

from .data import held_out


def validate(predict: Callable[[dict[str, Any]], Mapping[str, Any]]) -> dict[str, float]:
    """Return the share of held-out images that get the right label, as `accuracy`."""
    images, labels = held_out()
    return {"accuracy": float((predict({"images": images})["label"] == labels).mean())}
