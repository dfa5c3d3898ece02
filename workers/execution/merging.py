"""Joining requests of one model into one V2 call, and splitting its answer by rows. Pure.

Tensors are joined along their first dimension by joining the text of their JSON arrays, so that no number is
read and written again: the answers are exact, and the cost does not depend on the datatype. A flat array and
a nested one are never joined with each other.
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
    """These requests cannot be joined, or this answer cannot be split: ask for each alone."""


class Part(NamedTuple):
    """A request as part of a merged call: its own id, and how many rows are its."""

    id: str | None
    rows: int


def signature(request: InferRequest) -> Signature | None:
    """Return what requests must share to be joined; None where this one can only go alone.

    Each array is counted against its shape here: of two requests, one element short and one too long, the
    sum would fit and both would get wrong answers.
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
        The V2 infer request as JSON, and each request's part of it.
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


def split(answer: InferResponse, parts: Sequence[Part]) -> list[msgspec.Raw]:
    """Split the answer of a merged call into one V2 infer response for each part, in order.

    Raises:
        MergeError: an output does not have one row for each row asked, or has a remark on all of them.
    """
    total = sum(part.rows for part in parts)
    sliced = [_split_output(output, total, parts) for output in answer.outputs]
    return [
        msgspec.Raw(
            msgspec.json.encode(
                InferResponse(
                    model_name=answer.model_name,
                    model_version=answer.model_version,
                    id=part.id,
                    parameters=answer.parameters,
                    outputs=[pieces[index] for pieces in sliced],
                )
            )
        )
        for index, part in enumerate(parts)
    ]


def _is_nested(tensor: InferInput) -> bool:
    """Count the outer array against the shape, and say whether its items are rows."""
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
        remarks = ", ".join(sorted(output.parameters))
        raise MergeError(f"output {output.name} has the parameters {remarks}: of whose rows, nobody knows")
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
