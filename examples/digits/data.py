"""Scikit-learn's bundled handwritten digits, with one fixed split."""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

HELD_OUT_SHARE: Final = 0.25
SPLIT_SEED: Final = 7


def training() -> tuple[Images, Labels]:
    """Return the training set: images `[1347, 64]` of 0..16, and their labels."""
    images, _, labels, _ = _split()
    return images, labels


def held_out() -> tuple[Images, Labels]:
    """Return the held-out set: images `[450, 64]` of 0..16, and their labels."""
    _, images, _, labels = _split()
    return images, labels


def _split() -> tuple[Images, Images, Labels, Labels]:
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        images.astype(np.float32),
        labels.astype(np.int64),
        test_size=HELD_OUT_SHARE,
        random_state=SPLIT_SEED,
        stratify=labels,
    )
    return parts[0], parts[1], parts[2], parts[3]
