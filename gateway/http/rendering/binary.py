"""The protocol's binary tensor extension: raw tensors behind a JSON header, to and from the JSON form. Pure.

Source: the binary tensor data extension as Triton publishes it. A body is a JSON header of so many bytes as
`Inference-Header-Content-Length` says, then the raw, little-endian, row-major content of each tensor that has
`binary_data_size` among its parameters. BYTES elements are each behind their length (4 bytes).
"""

import math
import struct
from typing import Any, Final

import msgspec
import numpy as np

from straightline.contracts import InferResponse
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import NO_DATA
from straightline.contracts.tensors.v2 import InferInput, InferOutput, InferRequest
from straightline.errors import ContractError

LENGTH_HEADER: Final = "Inference-Header-Content-Length"
SIZE: Final = "binary_data_size"
WANTED: Final = "binary_data"
ALL_WANTED: Final = "binary_data_output"
_TYPES: Final = {
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
"""numpy's names of the datatypes that a JSON number or boolean can hold."""


class _Input(msgspec.Struct, kw_only=True, omit_defaults=True):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = NO_DATA
    parameters: dict[str, Any] = {}


class _Header(msgspec.Struct, kw_only=True, omit_defaults=True):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[dict[str, Any]] = []


def to_json(body: bytes, header_length: int) -> InferRequest:
    """Read a binary body into a request whose tensors are JSON.

    Args:
        body: header and tensors.
        header_length: bytes of the header.

    Raises:
        ContractError: it does not hold what its header says; the message names the tensor.
    """
    if not 0 < header_length <= len(body):
        raise ContractError(f"{LENGTH_HEADER} says {header_length}, the body has {len(body)} bytes")
    try:
        header = decode(body[:header_length], _Header)
    except ContractError as error:
        raise ContractError(
            f"the header is not a V2 infer request: {error}", error_class="wrong_type"
        ) from error
    rest, inputs = memoryview(body)[header_length:], []
    for tensor in header.inputs:
        size = tensor.parameters.pop(SIZE, None)
        if size is None:
            if not tensor.data:
                raise _bad(tensor.name, f"has neither data nor {SIZE}")
            data = tensor.data
        else:
            if not isinstance(size, int) or not 0 <= size <= len(rest):
                raise _bad(tensor.name, f"says {size!r} bytes, the body has {len(rest)} more")
            data, rest = _content(tensor, bytes(rest[:size])), rest[size:]
        inputs.append(
            InferInput(
                name=tensor.name,
                shape=tensor.shape,
                datatype=tensor.datatype,
                data=data,
                parameters=tensor.parameters,
            )
        )
    if len(rest):
        raise ContractError(f"{len(rest)} bytes are left over behind the last tensor")
    return InferRequest(inputs=inputs, id=header.id, parameters=header.parameters, outputs=header.outputs)


def wanted(request: InferRequest) -> frozenset[str] | bool:
    """Take the wishes for binary outputs out of a request: the names of them, or all, or none.

    The wishes are the gateway's to fulfil; what is left is asked of the model.
    """
    everything = request.parameters.pop(ALL_WANTED, False) is True
    names = set()
    for output in request.outputs:
        parameters = output.get("parameters")
        wish = parameters.pop(WANTED, None) if isinstance(parameters, dict) else None
        if wish is True or (wish is None and everything):
            names.add(str(output.get("name")))
    return everything if not request.outputs else frozenset(names)


def from_json(response: InferResponse, binary: frozenset[str] | bool) -> tuple[bytes, int | None]:
    """Write a response, the tensors that were wished for in binary.

    Returns:
        The body, and the length of its header; None where nothing in it is binary.
    """
    pieces, outputs = [], []
    for output in response.outputs:
        named = binary if isinstance(binary, bool) else output.name in binary
        raw = _raw(output) if named else None
        if raw is None:
            outputs.append(msgspec.to_builtins(output) | {"data": output.data})
            continue
        pieces.append(raw)
        parameters = output.parameters | {SIZE: len(raw)}
        outputs.append(
            {
                "name": output.name,
                "shape": output.shape,
                "datatype": output.datatype,
                "parameters": parameters,
            }
        )
    head: dict[str, Any] = {"model_name": response.model_name, "outputs": outputs}
    head |= {"model_version": response.model_version} if response.model_version is not None else {}
    head |= {"id": response.id} if response.id is not None else {}
    head |= {"parameters": response.parameters} if response.parameters else {}
    encoded = msgspec.json.encode(head)
    return b"".join((encoded, *pieces)), len(encoded) if pieces else None


def _content(tensor: _Input, raw: bytes) -> msgspec.Raw:
    if any(size < 0 for size in tensor.shape):
        raise _bad(tensor.name, f"has the shape {tensor.shape[:16]}, which none can")
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        return msgspec.Raw(msgspec.json.encode(_texts(tensor.name, raw, count)))
    kind = _TYPES.get(tensor.datatype)
    if kind is None:
        raise _bad(
            tensor.name, f"is {tensor.datatype[:16]!r}; binary are BYTES and {', '.join(sorted(_TYPES))}"
        )
    dtype = np.dtype(kind)
    if len(raw) != count * dtype.itemsize:
        raise _bad(tensor.name, f"has {len(raw)} bytes, its shape and datatype want {count * dtype.itemsize}")
    array = np.frombuffer(raw, dtype)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise _bad(tensor.name, "holds a number that is not finite, which JSON cannot carry")
    return msgspec.Raw(msgspec.json.encode(array.tolist()))


def _texts(name: str, raw: bytes, count: int) -> list[str]:
    texts: list[str] = []
    at = 0
    while at < len(raw) and len(texts) < count:
        if at + 4 > len(raw):
            break
        (size,) = struct.unpack_from("<I", raw, at)
        piece = raw[at + 4 : at + 4 + size]
        if len(piece) != size:
            break
        try:
            texts.append(piece.decode())
        except UnicodeDecodeError as error:
            raise _bad(name, "holds bytes that are not UTF-8, which JSON cannot carry") from error
        at += 4 + size
    if len(texts) != count or at != len(raw):
        raise _bad(name, f"does not hold {count} elements behind their lengths")
    return texts


def _raw(output: InferOutput) -> bytes | None:
    """Return a tensor's content in binary; None where it has none (what is not finite came as null)."""
    if output.datatype == "BYTES":
        texts = [text.encode() for text in decode(output.data, list[str])]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    kind = _TYPES.get(output.datatype)
    if kind is None:
        return None
    values = decode(output.data, list[Any])
    floats = np.dtype(kind).kind == "f"
    if floats:
        values = [math.nan if value is None else value for value in values]
    return np.asarray(values, dtype=kind).tobytes()


def _bad(name: str, what: str) -> ContractError:
    return ContractError(f"tensor {name[:64]!r} {what}", error_class="wrong_inputs")
