"""Decoding of V2 tensors from JSON to numpy.

The content is parsed by a decoder of its exact type (`list[float]`, `list[list[int]]`, ...). A wrong element
is found while parsing, in C, and nesting deeper than the shape is never built.
"""

import functools
import math
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from model_server.errors import InvalidInput
from model_server.tensors.datatypes import BYTES, numpy_type
from straightline.contracts import InferInput, InferOutput
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.tensors.binary_tensors import MAX_DIMENSIONS
from straightline.errors import ContractError

_SPACE: Final = b" \t\r\n"


def decode_tensor(tensor: InferInput | InferOutput) -> npt.NDArray[Any]:
    """Return the content of a tensor as an array of its shape and datatype.

    Args:
        tensor: a tensor whose `data` is flat (row-major) or nested as `shape` says.

    Raises:
        InvalidInput: the content does not fit the shape or the datatype; the message names the tensor.
    """
    dtype = numpy_type(tensor.datatype)
    shape = tuple(tensor.shape)
    if len(shape) > MAX_DIMENSIONS or any(size < 0 for size in shape):
        raise InvalidInput(
            f"tensor {tensor.name!r} has an invalid shape {tensor.shape[:MAX_DIMENSIONS]}: use at most "
            f"{MAX_DIMENSIONS} dimensions, each >= 0"
        )
    depth = 1 if _is_flat(tensor.data) else max(1, len(shape))
    try:
        content = decode(tensor.data, _content_type(dtype.kind, depth))
        with np.errstate(over="ignore"):  # an overflowing float is found below
            array = np.array(content, dtype=dtype)
    except ContractError as error:
        raise InvalidInput(f"tensor {tensor.name!r} is not {tensor.datatype}: {error}") from error
    except OverflowError as error:
        raise InvalidInput(
            f"tensor {tensor.name!r} has a number outside the range of {tensor.datatype}"
        ) from error
    except ValueError as error:
        raise InvalidInput(
            f"tensor {tensor.name!r} is nested unevenly; its shape is {list(shape)}"
        ) from error
    _check(tensor, array, shape, depth)
    return array.reshape(shape)


def _check(
    tensor: InferInput | InferOutput, array: npt.NDArray[Any], shape: tuple[int, ...], depth: int
) -> None:
    wanted = math.prod(shape)
    if array.size != wanted:
        raise InvalidInput(
            f"tensor {tensor.name!r} has {array.size} elements, its shape {list(shape)} needs {wanted}"
        )
    if depth > 1 and array.shape != shape and wanted:
        raise InvalidInput(
            f"tensor {tensor.name!r} is nested as {list(array.shape)}, but its shape is {list(shape)}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidInput(f"tensor {tensor.name!r} has a number outside the range of {tensor.datatype}")


def _is_flat(data: msgspec.Raw) -> bool:
    """Distinguish `[1, 2]` from `[[1, 2]]` by the second bracket."""
    start = bytes(memoryview(data)[:64]).lstrip(_SPACE)
    return not start.startswith(b"[") or not start[1:].lstrip(_SPACE).startswith(b"[")


@functools.lru_cache(maxsize=64)
def _content_type(kind: str, depth: int) -> Any:
    element: Any = {"b": bool, "u": int, "i": int, "f": float, "O": str}[kind]
    for _ in range(depth):
        element = list[element]
    return element


__all__ = ["BYTES", "MAX_DIMENSIONS", "decode_tensor"]
