"""Settings of training, validation and packaging."""

from pathlib import Path
from typing import Annotated

import msgspec


class KitSettings(msgspec.Struct, frozen=True):
    """Settings of images and builds; each name after `STRAIGHTLINE_`.

    Attributes:
        train_image: image for training, such as NVIDIA's for a framework; it has `python3` and the imports of
            the project's training.
        validate_image: light image for validation; it has `python3`, the packages of `requirements/serve.txt`
            and the imports of the project's validation.
        base_image: image that models' images are built on; it has `python3` with the module `venv`.
        nvidia_base_image: the same for the NVIDIA variant; it also has the libraries of CUDA.
        wheelhouse: directory of wheels that builds install from; nothing is downloaded then.
        job_tmp: bytes that a job may write to /tmp; they count as memory.
    """

    train_image: str = "straightline-train:latest"
    validate_image: str = "straightline-validate:latest"
    base_image: str = "straightline-base:latest"
    nvidia_base_image: str = "straightline-nvidia-base:latest"
    wheelhouse: Path | None = None
    job_tmp: Annotated[int, msgspec.Meta(ge=1)] = 1024**3
