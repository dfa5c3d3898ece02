"""The bodies of the Open Inference Protocol, version 2 (JSON form).

Source: the protocol's inference request and response objects, as KServe publishes them. The tensor's content
stays undecoded (`msgspec.Raw`), so that reading a request costs the same for one image and for ten thousand.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from straightline.contracts.model import ModelSpec
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError


class InferInput(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A named tensor: `data` is a JSON array, flat (row-major) or nested as `shape` says."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a model is asked."""

    inputs: list[InferInput]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[dict[str, Any]] = []


class InferOutput(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A named tensor of an answer; `data` is a flat (row-major) or nested JSON array."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] = {}


class InferResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a model answers."""

    model_name: str
    outputs: list[InferOutput]
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any] = {}


def decode_infer_request(data: bytes | msgspec.Raw) -> InferRequest:
    """Read a V2 infer request.

    Raises:
        ContractError: `data` is not a V2 infer request; the message says which member is wrong.
    """
    try:
        return decode(data, InferRequest)
    except ContractError as error:
        raise ContractError(
            f"data is not a V2 infer request: {error}; it needs an `inputs` list of "
            "{name, shape, datatype, data}",
            error_class="wrong_type",
        ) from error


def decode_infer_response(result: bytes | msgspec.Raw) -> InferResponse:
    """Read a V2 infer response.

    Raises:
        ContractError: `result` is none; the message says which member is wrong.
    """
    try:
        return decode(result, InferResponse)
    except ContractError as error:
        raise ContractError(f"the result is not a V2 infer response: {error}") from error


def shape_matches(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a tensor of this shape is one that a model's description wants, where -1 is any size."""
    return len(shape) == len(wanted) and all(
        want in (-1, size) for size, want in zip(shape, wanted, strict=True)
    )


def check_inputs(request: InferRequest, model: ModelSpec) -> None:
    """Hold the tensors of a request against those that the model takes (names, datatypes, shapes).

    Raises:
        ContractError: an input is missing, unknown, or of another datatype or shape; the message says which.
    """
    given = {tensor.name: tensor for tensor in request.inputs}
    wanted = {spec.name: spec for spec in model.inputs}
    if len(given) != len(request.inputs) or given.keys() != wanted.keys():
        names = [tensor.name for tensor in request.inputs]
        raise ContractError(
            f"model {model.name} takes the inputs {sorted(wanted)}, each once; the request has {names[:16]}",
            error_class="wrong_inputs",
        )
    for name, spec in wanted.items():
        tensor = given[name]
        if any(size < 0 for size in tensor.shape):
            raise ContractError(
                f"input {name!r} has the shape {tensor.shape[:16]}: a request says how many there are, "
                "-1 stands in a model's description alone",
                error_class="wrong_inputs",
            )
        if tensor.datatype != spec.datatype or not shape_matches(tensor.shape, spec.shape):
            raise ContractError(
                f"input {name!r} of model {model.name} is {spec.datatype} {list(spec.shape)}; "
                f"the request has {tensor.datatype[:16]} {tensor.shape[:16]}",
                error_class="wrong_inputs",
            )
