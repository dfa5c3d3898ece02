"""The datatypes of the Open Inference Protocol (V2) and their numpy counterparts."""

from types import MappingProxyType
from typing import Any, Final

import numpy as np

from model_server.errors import InvalidInput

BYTES: Final = "BYTES"
"""Strings in JSON, an object array of `str` in numpy."""

NUMPY: Final = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "UINT8": np.dtype(np.uint8),
        "UINT16": np.dtype(np.uint16),
        "UINT32": np.dtype(np.uint32),
        "UINT64": np.dtype(np.uint64),
        "INT8": np.dtype(np.int8),
        "INT16": np.dtype(np.int16),
        "INT32": np.dtype(np.int32),
        "INT64": np.dtype(np.int64),
        "FP16": np.dtype(np.float16),
        "FP32": np.dtype(np.float32),
        "FP64": np.dtype(np.float64),
        BYTES: np.dtype(np.object_),
    }
)
"""All datatypes except BF16, which has only a binary form."""


def numpy_type(datatype: str) -> np.dtype[Any]:
    """Return the numpy type of a V2 datatype.

    Raises:
        InvalidInput: the datatype is unknown.
    """
    try:
        return NUMPY[datatype]
    except KeyError:
        raise InvalidInput(f"unknown datatype {datatype[:16]!r}: use one of {', '.join(NUMPY)}") from None
