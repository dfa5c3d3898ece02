"""Binary tensors to and from numpy arrays; NaN and infinities are legal here, unlike in JSON."""

from typing import Any

import numpy as np
import numpy.typing as npt

from model_server.tensors.datatypes import BYTES, numpy_type
from straightline.contracts import InferInput
from straightline.contracts.tensors.binary_tensors import (
    check_size,
    element_count,
    join_elements,
    split_texts,
    tensor_error,
)


def from_raw(tensor: InferInput, raw: memoryview) -> npt.NDArray[Any]:
    """Return the binary content of a tensor as a writable array of its shape and datatype.

    Raises:
        ContractError: the content does not fit the shape or the datatype; the message names the tensor.
        InvalidInput: the datatype is unknown.
    """
    dtype = numpy_type(tensor.datatype)
    count = element_count(tensor.name, tensor.shape)
    if tensor.datatype == BYTES:
        texts = split_texts(tensor.name, raw, count)
        return np.array(texts, dtype=np.object_).reshape(tensor.shape)
    check_size(tensor.name, raw, count * dtype.itemsize)
    if dtype.kind == "b" and (np.frombuffer(raw, np.uint8) > 1).any():
        raise tensor_error(tensor.name, "is BOOL but has a byte that is neither 0 nor 1")
    # A copy: the body is read-only and its tensors may be unaligned.
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(tensor.shape)


def to_raw(array: npt.NDArray[Any]) -> bytes:
    """Return the binary content of an array; an object array holds `str` or `bytes`."""
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return join_elements(item.encode() if isinstance(item, str) else item for item in array.ravel().tolist())
