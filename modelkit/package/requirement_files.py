"""Which packages a served model is built with."""

from pathlib import Path
from typing import Final

_HOME: Final = Path(__file__).parents[2] / "requirements"
REQUIREMENTS: Final = _HOME / "serve.txt"
NVIDIA_REQUIREMENTS: Final = _HOME / "serve-nvidia.txt"
"""The same with ONNX Runtime's build for CUDA, whose libraries are the base image's."""
