"""The served model: a callable from arrays by name to arrays by name."""

from pathlib import Path
from typing import Any

import numpy as np

# Loaded once, when the server or the function starts.
_WEIGHTS = np.load(Path(__file__).with_name("weights.npy"))


def predict(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs listed in `model.toml`."""
    return {"estimate": inputs["features"] @ _WEIGHTS}
