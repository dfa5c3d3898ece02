"""Requirements files of a served model."""

from pathlib import Path
from typing import Final

_HOME: Final = Path(__file__).parents[2] / "requirements"
REQUIREMENTS: Final = _HOME / "serve.txt"
NVIDIA_REQUIREMENTS: Final = _HOME / "serve-nvidia.txt"
"""With ONNX Runtime's build for CUDA; the base image has the libraries of CUDA."""
