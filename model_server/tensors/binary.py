"""The protocol's binary tensor extension: raw tensors behind a JSON header, to numpy and from it. Pure.

Source: the binary tensor data extension as Triton publishes it. A body is a JSON header of so many bytes as
`Inference-Header-Content-Length` says, then the raw, little-endian, row-major content of each tensor that has
`binary_data_size` among its parameters. BYTES elements are each behind their length (4 bytes). NaN and
infinities are legal here, as they are not in JSON.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from model_server.errors import InvalidInput
from model_server.tensors.datatypes import BYTES, numpy_type
from model_server.tensors.decode import MAX_DIMENSIONS
from straightline.contracts import InferInput, InferRequest
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import NO_DATA
from straightline.contracts.tensors.v2 import decode_infer_request
from straightline.errors import ContractError

LENGTH_HEADER: Final = "Inference-Header-Content-Length"
SIZE: Final = "binary_data_size"
WANTED: Final = "binary_data"
ALL_WANTED: Final = "binary_data_output"
_LENGTH: Final = struct.Struct("<I")


class _Input(msgspec.Struct, kw_only=True):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = NO_DATA
    parameters: dict[str, Any] = {}


class _Header(msgspec.Struct, kw_only=True):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[dict[str, Any]] = []


class Asked(msgspec.Struct, frozen=True):
    """A request as it came.

    Attributes:
        request: what is asked; a tensor that came in binary has no `data` in it.
        raw: the content of the tensors that came in binary, by name.
    """

    request: InferRequest
    raw: Mapping[str, memoryview]


def read_body(body: bytes, header_length: str | None) -> Asked:
    """Read a body, in JSON alone or with tensors behind it; their content is not looked at yet.

    Args:
        body: header and tensors.
        header_length: what `Inference-Header-Content-Length` says; None where it is absent.

    Raises:
        ContractError: the JSON is not a V2 infer request.
        InvalidInput: the body does not hold what its header says; the message names the tensor.
    """
    if header_length is None:
        return Asked(decode_infer_request(body), {})
    if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 20):
        raise InvalidInput(f"{LENGTH_HEADER} is not a number")
    length = int(header_length)
    if not 0 < length <= len(body):
        raise InvalidInput(f"{LENGTH_HEADER} says {length}, the body has {len(body)} bytes")
    try:
        header = decode(memoryview(body)[:length], _Header)
    except ContractError as error:
        raise InvalidInput(f"the header is not a V2 infer request: {error}") from error
    raw = _pieces(header.inputs, memoryview(body)[length:])
    inputs = [
        InferInput(
            name=each.name,
            shape=each.shape,
            datatype=each.datatype,
            data=each.data,
            parameters=each.parameters,
        )
        for each in header.inputs
    ]
    request = InferRequest(inputs=inputs, id=header.id, parameters=header.parameters, outputs=header.outputs)
    return Asked(request, raw)


def _pieces(tensors: list[_Input], rest: memoryview) -> dict[str, memoryview]:
    """Cut what is behind the header into the tensors' content."""
    pieces: dict[str, memoryview] = {}
    for tensor in tensors:
        size = tensor.parameters.pop(SIZE, None)
        if size is None:
            if not tensor.data:
                raise _bad(tensor.name, f"has neither data nor {SIZE}")
            continue
        if tensor.data:
            raise _bad(tensor.name, f"has both data and {SIZE}")
        if type(size) is not int or not 0 <= size <= len(rest):
            raise _bad(tensor.name, f"says {str(size)[:32]} bytes, the body has {len(rest)} more")
        pieces[tensor.name], rest = rest[:size], rest[size:]
    if len(rest):
        raise InvalidInput(f"{len(rest)} bytes are left over behind the last tensor")
    return pieces


def wanted(request: InferRequest) -> frozenset[str] | bool:
    """Return which outputs are wished for in binary: the names of them, or all, or none."""
    everything = request.parameters.get(ALL_WANTED) is True
    if not request.outputs:
        return everything
    names = set()
    for output in request.outputs:
        parameters = output.get("parameters")
        wish = parameters.get(WANTED) if isinstance(parameters, dict) else None
        if wish is True or (wish is None and everything):
            names.add(str(output.get("name")))
    return frozenset(names)


def from_raw(tensor: InferInput, raw: memoryview) -> npt.NDArray[Any]:
    """Return a tensor's binary content as an array that is the caller's own.

    Raises:
        InvalidInput: the content does not fit the shape or the datatype; the message names the tensor.
    """
    dtype = numpy_type(tensor.datatype)
    shape = tuple(tensor.shape)
    if len(shape) > MAX_DIMENSIONS or any(size < 0 for size in shape):
        raise _bad(tensor.name, f"has the shape {tensor.shape[:MAX_DIMENSIONS]}, which none can")
    count = math.prod(shape)
    if tensor.datatype == BYTES:
        return np.array(_texts(tensor.name, raw, count), dtype=np.object_).reshape(shape)
    wants = count * dtype.itemsize
    if len(raw) != wants:
        raise _bad(tensor.name, f"has {len(raw)} bytes, its shape and datatype want {wants}")
    if dtype.kind == "b" and (np.frombuffer(raw, np.uint8) > 1).any():
        raise _bad(tensor.name, "is BOOL and holds a byte that is neither 0 nor 1")
    # A copy: the body's bytes are nobody's to write to, and may lie at any address.
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def to_raw(array: npt.NDArray[Any]) -> bytes:
    """Return an array's content in binary; one of objects holds texts or bytes."""
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    pieces: list[bytes] = []
    for item in array.ravel().tolist():
        piece = item.encode() if isinstance(item, str) else item
        pieces += (_LENGTH.pack(len(piece)), piece)
    return b"".join(pieces)


def _texts(name: str, raw: memoryview, count: int) -> list[str]:
    texts: list[str] = []
    at, end = 0, len(raw)
    try:
        while at < end and len(texts) < count:
            (size,) = _LENGTH.unpack_from(raw, at)
            at += _LENGTH.size + size
            if at > end:
                break
            texts.append(str(raw[at - size : at], "utf-8"))
    except struct.error:
        at = -1  # a length that is cut short
    except UnicodeDecodeError as error:
        raise _bad(name, "holds bytes that are not UTF-8; a model is given texts") from error
    if len(texts) != count or at != end:
        raise _bad(name, f"does not hold {count} elements behind their lengths")
    return texts


def _bad(name: str, what: str) -> InvalidInput:
    return InvalidInput(f"tensor {name[:64]!r} {what}")
