"""The bodies of the Open Inference Protocol, version 2 (JSON form).

Source: the inference request and response objects of the protocol as published by KServe. Tensor data stays
undecoded (`msgspec.Raw`), so that decoding a request costs the same for one image and for ten thousand.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from straightline.contracts.model import ModelSpec
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError


class InferInput(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An input tensor; `data` is a JSON array, flat (row-major) or nested as in `shape`."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A V2 inference request."""

    inputs: list[InferInput]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[dict[str, Any]] = []


class InferOutput(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An output tensor; `data` is a JSON array, flat (row-major) or nested."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] = {}


class InferResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A V2 inference response."""

    model_name: str
    outputs: list[InferOutput]
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any] = {}


def decode_infer_request(data: bytes | msgspec.Raw) -> InferRequest:
    """Decode a V2 infer request.

    Raises:
        ContractError: `data` is not a V2 infer request; the message names the member.
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
    """Decode a V2 infer response.

    Raises:
        ContractError: `result` is not a V2 infer response; the message names the member.
    """
    try:
        return decode(result, InferResponse)
    except ContractError as error:
        raise ContractError(f"the result is not a V2 infer response: {error}") from error


def shape_matches(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Return whether a shape matches a model's, in which -1 accepts any size."""
    return len(shape) == len(wanted) and all(
        want in (-1, size) for size, want in zip(shape, wanted, strict=True)
    )


def check_inputs(request: InferRequest, model: ModelSpec) -> None:
    """Check names, datatypes and shapes of a request's inputs against the model.

    Raises:
        ContractError: an input is missing, unknown, or has another datatype or shape; the message names it.
    """
    given = {tensor.name: tensor for tensor in request.inputs}
    wanted = {spec.name: spec for spec in model.inputs}
    if len(given) != len(request.inputs) or given.keys() != wanted.keys():
        names = [tensor.name for tensor in request.inputs]
        raise ContractError(
            f"the inputs do not match model {model.name}: it takes {sorted(wanted)}, each once; the request "
            f"has {names[:16]}",
            error_class="wrong_inputs",
        )
    for name, spec in wanted.items():
        tensor = given[name]
        if any(size < 0 for size in tensor.shape):
            raise ContractError(
                f"input {name!r} has the invalid shape {tensor.shape[:16]}: dimensions must be >= 0",
                error_class="wrong_inputs",
            )
        if tensor.datatype != spec.datatype or not shape_matches(tensor.shape, spec.shape):
            raise ContractError(
                f"input {name!r} of model {model.name} must be {spec.datatype} {list(spec.shape)}; "
                f"the request has {tensor.datatype[:16]} {tensor.shape[:16]}",
                error_class="wrong_inputs",
            )
