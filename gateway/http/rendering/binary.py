"""Binary tensors to and from the JSON form in which requests and results travel."""

import math
from typing import Any, Final

import msgspec
import numpy as np

from straightline.contracts import InferResponse
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.tensors.binary_tensors import (
    SIZE_PARAMETER,
    check_size,
    element_count,
    join_elements,
    read_body,
    split_texts,
    tensor_error,
)
from straightline.contracts.tensors.v2 import InferInput, InferOutput, InferRequest

BYTES: Final = "BYTES"
_NUMPY_TYPES: Final = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""Datatypes with a JSON form, by their numpy type."""


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """Decode a request body and convert its binary tensors to JSON.

    Args:
        body: header and tensors.
        header_length: value of `Inference-Header-Content-Length`; None without that header.

    Raises:
        ContractError: the body does not hold what its header says, or a tensor has no JSON form; the message
            names the tensor.
    """
    decoded = read_body(body, header_length)
    for tensor, raw in zip(decoded.request.inputs, decoded.raw, strict=True):
        if raw is not None:
            tensor.data = _to_json(tensor, raw)
    return decoded.request


def write_response(response: InferResponse, binary: frozenset[str] | bool) -> tuple[bytes, int | None]:
    """Encode a response with some of its tensors in binary.

    Args:
        response: with all tensors in JSON.
        binary: names of the binary outputs; True for all, False for none.

    Returns:
        The body and the length of its header; None if no tensor is binary.
    """
    pieces, outputs = [], []
    for output in response.outputs:
        wanted = binary if isinstance(binary, bool) else output.name in binary
        raw = _to_raw(output) if wanted else None
        if raw is None:
            outputs.append(msgspec.to_builtins(output) | {"data": output.data})
            continue
        pieces.append(raw)
        outputs.append(
            {
                "name": output.name,
                "shape": output.shape,
                "datatype": output.datatype,
                "parameters": output.parameters | {SIZE_PARAMETER: len(raw)},
            }
        )
    header: dict[str, Any] = {"model_name": response.model_name, "outputs": outputs}
    header |= {"model_version": response.model_version} if response.model_version is not None else {}
    header |= {"id": response.id} if response.id is not None else {}
    header |= {"parameters": response.parameters} if response.parameters else {}
    encoded = msgspec.json.encode(header)
    return b"".join((encoded, *pieces)), len(encoded) if pieces else None


def _to_json(tensor: InferInput, raw: memoryview) -> msgspec.Raw:
    count = element_count(tensor.name, tensor.shape)
    if tensor.datatype == BYTES:
        return msgspec.Raw(msgspec.json.encode(split_texts(tensor.name, raw, count)))
    numpy_type = _NUMPY_TYPES.get(tensor.datatype)
    if numpy_type is None:
        known = ", ".join(sorted([BYTES, *_NUMPY_TYPES]))
        raise tensor_error(tensor.name, f"has datatype {tensor.datatype[:16]!r}: binary tensors are {known}")
    dtype = np.dtype(numpy_type)
    check_size(tensor.name, raw, count * dtype.itemsize)
    if dtype.kind == "b" and (np.frombuffer(raw, np.uint8) > 1).any():
        raise tensor_error(tensor.name, "is BOOL but has a byte that is neither 0 nor 1")
    array = np.frombuffer(raw, dtype)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise tensor_error(tensor.name, "has a value that is not finite: JSON cannot carry it")
    return msgspec.Raw(msgspec.json.encode(array.tolist()))


def _to_raw(output: InferOutput) -> bytes | None:
    """Return the binary content of a tensor; None for a datatype without one.

    Values that are not finite come as null and become NaN.
    """
    if output.datatype == BYTES:
        return join_elements(text.encode() for text in decode(output.data, list[str]))
    numpy_type = _NUMPY_TYPES.get(output.datatype)
    if numpy_type is None:
        return None
    values = decode(output.data, list[Any])
    if np.dtype(numpy_type).kind == "f":
        values = [math.nan if value is None else value for value in values]
    return np.asarray(values, dtype=numpy_type).tobytes()
