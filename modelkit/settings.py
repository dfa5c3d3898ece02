"""What the commands of modelkit read from the environment."""

from pathlib import Path
from typing import Annotated

import msgspec


class KitSettings(msgspec.Struct, frozen=True):
    """Read once, where a command starts; each name after `STRAIGHTLINE_`.

    Attributes:
        train_image: image that models are trained in, such as NVIDIA's for a framework; it has `python3` and
            what the project's training imports.
        validate_image: light image that models are validated in; it has `python3`, the packages of
            `requirements/serve.txt`, and what the project's validation imports.
        base_image: image that models' images are built on; it has `python3` with the module `venv`.
        nvidia_base_image: the same for the NVIDIA variant; it also has CUDA's libraries.
        wheelhouse: directory of wheels that builds install from; with it, nothing is fetched.
        job_tmp: bytes that a training or validation may write to /tmp; they are memory.
    """

    train_image: str = "straightline-train:latest"
    validate_image: str = "straightline-validate:latest"
    base_image: str = "straightline-base:latest"
    nvidia_base_image: str = "straightline-nvidia-base:latest"
    wheelhouse: Path | None = None
    job_tmp: Annotated[int, msgspec.Meta(ge=1)] = 1024**3
