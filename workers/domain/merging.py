"""Merging: join requests of one model into one V2 call, and split its response by rows.

Tensors are concatenated along their first dimension, as the text of their JSON arrays: no number is parsed or
printed again, so responses are exact and the cost does not depend on the datatype. A flat array is never
joined with a nested one.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from straightline.contracts import InferInput, InferOutput, InferRequest, InferResponse
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError

Signature = tuple[Any, ...]


class MergeError(ValueError):
    """The requests cannot be joined or the response cannot be split: call the model for each alone."""


class Part(NamedTuple):
    """One request's part of a merged call: its own V2 id and its number of rows."""

    id: str | None
    rows: int


def signature(request: InferRequest) -> Signature | None:
    """Return the key that requests must share to be joined; None if this one must go alone.

    Checks each array's length against its shape. Without that, one request with an element too few and one
    with an element too many would add up to a valid call, and both would get wrong results.
    """
    plain = not request.parameters and not request.outputs and request.inputs
    if not plain or any(tensor.parameters or not tensor.shape for tensor in request.inputs):
        return None
    if len({tensor.shape[0] for tensor in request.inputs}) != 1:
        return None
    try:
        return tuple(
            sorted(
                (tensor.name, tensor.datatype, tuple(tensor.shape[1:]), _is_nested(tensor))
                for tensor in request.inputs
            )
        )
    except MergeError:
        return None


def join(requests: Sequence[InferRequest]) -> tuple[bytes, list[Part]]:
    """Join requests that share a signature.

    Returns:
        The V2 infer request as JSON, and the part of each request in it.
    """
    first = requests[0]
    columns = [{tensor.name: tensor for tensor in request.inputs} for request in requests]
    rows = [request.inputs[0].shape[0] for request in requests]
    inputs = [
        InferInput(
            name=tensor.name,
            shape=[sum(rows), *tensor.shape[1:]],
            datatype=tensor.datatype,
            data=_join_arrays([column[tensor.name].data for column in columns]),
        )
        for tensor in first.inputs
    ]
    parts = [Part(request.id, count) for request, count in zip(requests, rows, strict=True)]
    return msgspec.json.encode(InferRequest(inputs=inputs)), parts


def split(response: InferResponse, parts: Sequence[Part]) -> list[msgspec.Raw]:
    """Split the response to a merged call into one V2 infer response for each part, in order.

    Raises:
        MergeError: an output does not have one row for each input row, or has parameters.
    """
    total = sum(part.rows for part in parts)
    sliced = [_split_output(output, total, parts) for output in response.outputs]
    return [
        msgspec.Raw(
            msgspec.json.encode(
                InferResponse(
                    model_name=response.model_name,
                    model_version=response.model_version,
                    id=part.id,
                    parameters=response.parameters,
                    outputs=[pieces[index] for pieces in sliced],
                )
            )
        )
        for index, part in enumerate(parts)
    ]


def _is_nested(tensor: InferInput) -> bool:
    """Check the outer array's length against the shape, and return whether its items are rows."""
    rows, stride = tensor.shape[0], math.prod(tensor.shape[1:])
    text = bytes(tensor.data)
    if b"[" not in text[1:] and b'"' not in text and text.lstrip()[:1] == b"[":
        count = text.count(b",") + (1 if text.strip()[1:-1].strip() else 0)
        items = b""
    else:
        elements = _elements(tensor.data)
        count = len(elements)
        items = bytes(elements[0])[:1] if elements else b""
    if items == b"[" and count == rows and len(tensor.shape) > 1:
        return True
    if items != b"[" and count == rows * stride:
        return False
    raise MergeError(f"{tensor.name} has {count} items for the shape {tensor.shape}")


def _elements(data: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return decode(data, list[msgspec.Raw])
    except ContractError as error:
        raise MergeError(str(error)) from error


def _join_arrays(arrays: Sequence[msgspec.Raw]) -> msgspec.Raw:
    inner = (bytes(array).strip()[1:-1].strip() for array in arrays)
    return msgspec.Raw(b"[" + b",".join(text for text in inner if text) + b"]")


def _split_output(output: InferOutput, total: int, parts: Sequence[Part]) -> list[InferOutput]:
    if not output.shape or output.shape[0] != total:
        raise MergeError(f"output {output.name} has the shape {output.shape} for {total} rows")
    if output.parameters:
        keys = ", ".join(sorted(output.parameters))
        raise MergeError(f"output {output.name} has the parameters {keys}, which cannot be split by rows")
    elements = _elements(output.data)
    stride = 1 if len(elements) == total else math.prod(output.shape[1:])
    if len(elements) != total * stride:
        raise MergeError(f"output {output.name} has {len(elements)} items for the shape {output.shape}")
    pieces = []
    start = 0
    for part in parts:
        end = start + part.rows * stride
        pieces.append(
            InferOutput(
                name=output.name,
                shape=[part.rows, *output.shape[1:]],
                datatype=output.datatype,
                data=msgspec.Raw(b"[" + b",".join(map(bytes, elements[start:end])) + b"]"),
            )
        )
        start = end
    return pieces
