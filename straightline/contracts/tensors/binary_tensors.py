"""The binary tensor extension of the Open Inference Protocol: frames, sizes and BYTES elements.

Source: the binary tensor data extension as Triton publishes it. A body is a JSON header, whose length in
bytes is in `Inference-Header-Content-Length`, followed by the raw, little-endian, row-major content of each
tensor that has the parameter `binary_data_size`. Each BYTES element follows its length (4 bytes, unsigned).
"""

import math
import struct
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import NO_DATA
from straightline.contracts.tensors.v2 import InferInput, InferRequest, decode_infer_request
from straightline.errors import ContractError

LENGTH_HEADER: Final = "Inference-Header-Content-Length"
SIZE_PARAMETER: Final = "binary_data_size"
OUTPUT_PARAMETER: Final = "binary_data"
ALL_OUTPUTS_PARAMETER: Final = "binary_data_output"
MAX_DIMENSIONS: Final = 16
"""Above it the number of elements is a product that takes long to compute."""
_MAX_LENGTH_DIGITS: Final = 19
_ELEMENT_LENGTH: Final = struct.Struct("<I")


class _Input(msgspec.Struct, kw_only=True):
    """A tensor of a header; `data` is absent if the content is binary."""

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


class InferBody(msgspec.Struct, frozen=True):
    """A decoded request body.

    Attributes:
        request: the request; the `data` of a binary tensor is empty.
        raw: the binary content of each input, in their order; None of a tensor in JSON.
    """

    request: InferRequest
    raw: tuple[memoryview | None, ...]


def read_body(body: bytes, header_length: str | None) -> InferBody:
    """Split a request body into its header and tensors; their content is not decoded.

    Args:
        body: header and tensors.
        header_length: value of `Inference-Header-Content-Length`; None without that header.

    Raises:
        ContractError: the JSON is not a V2 infer request, or the body does not have the sizes that the header
            states; the message names the tensor.
    """
    if header_length is None:
        request = decode_infer_request(body)
        return InferBody(request, (None,) * len(request.inputs))
    length = _parse_length(header_length, len(body))
    try:
        header = decode(memoryview(body)[:length], _Header)
    except ContractError as error:
        raise ContractError(
            f"the header is not a V2 infer request: {error}", error_class="wrong_type"
        ) from error
    raw = _split(header.inputs, memoryview(body)[length:])
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
    return InferBody(request, raw)


def _parse_length(text: str, body_size: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_LENGTH_DIGITS):
        raise ContractError(f"{LENGTH_HEADER} is not a number of bytes: {text[:32]!r}")
    length = int(text)
    if not 0 < length <= body_size:
        raise ContractError(f"{LENGTH_HEADER} is {length}, but the body has {body_size} bytes")
    return length


def _split(tensors: list[_Input], rest: memoryview) -> tuple[memoryview | None, ...]:
    """Cut the bytes after the header into the content of the tensors."""
    pieces: list[memoryview | None] = []
    for tensor in tensors:
        size = tensor.parameters.pop(SIZE_PARAMETER, None)
        if size is None:
            if not tensor.data:
                raise tensor_error(tensor.name, f"has neither data nor {SIZE_PARAMETER}")
            pieces.append(None)
            continue
        if tensor.data:
            raise tensor_error(tensor.name, f"has both data and {SIZE_PARAMETER}: send one of them")
        if type(size) is not int or size < 0:
            text = repr(size)[:32]
            raise tensor_error(tensor.name, f"has {SIZE_PARAMETER} {text}: it must be an integer >= 0")
        if size > len(rest):
            raise tensor_error(
                tensor.name, f"has {SIZE_PARAMETER} {str(size)[:32]}, but {len(rest)} bytes are left"
            )
        pieces.append(rest[:size])
        rest = rest[size:]
    if len(rest):
        raise ContractError(f"the body has {len(rest)} bytes after the last tensor")
    return tuple(pieces)


def take_binary_outputs(request: InferRequest) -> frozenset[str] | bool:
    """Remove the parameters that ask for binary outputs from a request.

    Returns:
        The names of the outputs to send in binary; True for all, False for none.
    """
    everything = request.parameters.pop(ALL_OUTPUTS_PARAMETER, False) is True
    names = set()
    for output in request.outputs:
        parameters = output.get("parameters")
        binary = parameters.pop(OUTPUT_PARAMETER, None) if isinstance(parameters, dict) else None
        if binary is True or (binary is None and everything):
            names.add(str(output.get("name")))
    return frozenset(names) if request.outputs else everything


def element_count(name: str, shape: list[int]) -> int:
    """Return the number of elements of a tensor.

    Raises:
        ContractError: it has a negative dimension or more than 16 of them.
    """
    if len(shape) > MAX_DIMENSIONS:
        raise tensor_error(name, f"has {len(shape)} dimensions: at most {MAX_DIMENSIONS} are supported")
    if any(size < 0 for size in shape):
        raise tensor_error(name, f"has an invalid shape {shape}: dimensions must be >= 0")
    return math.prod(shape)


def check_size(name: str, raw: memoryview, wanted: int) -> None:
    """Check the size of a tensor of fixed-size elements.

    Raises:
        ContractError: the content does not have `wanted` bytes.
    """
    if len(raw) != wanted:
        raise tensor_error(name, f"has {len(raw)} bytes: its shape and datatype need {wanted}")


def split_texts(name: str, raw: memoryview, count: int) -> list[str]:
    """Split the content of a BYTES tensor into its `count` elements.

    Raises:
        ContractError: there are more or fewer, or one is not UTF-8.
    """
    texts: list[str] = []
    at, end = 0, len(raw)
    try:
        while at < end and len(texts) < count:
            (size,) = _ELEMENT_LENGTH.unpack_from(raw, at)
            at += _ELEMENT_LENGTH.size + size
            if at > end:
                break
            texts.append(str(raw[at - size : at], "utf-8"))
    except struct.error:
        at = -1  # a length that is cut short
    except UnicodeDecodeError as error:
        raise tensor_error(name, "has an element that is not UTF-8: models take text only") from error
    if len(texts) != count or at != end:
        raise tensor_error(name, f"does not have {count} elements with their lengths")
    return texts


def join_elements(elements: Iterable[bytes]) -> bytes:
    """Return the content of a BYTES tensor."""
    pieces: list[bytes] = []
    for element in elements:
        pieces += (_ELEMENT_LENGTH.pack(len(element)), element)
    return b"".join(pieces)


def tensor_error(name: str, problem: str) -> ContractError:
    """Return the error of one tensor."""
    return ContractError(f"tensor {name[:64]!r} {problem}", error_class="wrong_inputs")
