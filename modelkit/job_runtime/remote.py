"""Client of an external server that speaks the Open Inference Protocol (V2)."""

import urllib.error
import urllib.request
from typing import Final

import msgspec
import numpy as np

from model_server.errors import ModelError
from model_server.models.runtimes import Predict, Tensors
from model_server.tensors.decode import decode_tensor
from model_server.tensors.encode import encode_tensor
from straightline.contracts import InferResponse, ModelSpec
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ConfigurationError, ContractError
from straightline.support.no_redirect import open_url

CHECK_TIMEOUT_S: Final = 10.0
"""For a readiness or metadata request."""
MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int] = []


class _Metadata(msgspec.Struct):
    name: str
    versions: list[str] | None = None
    inputs: list[_Tensor] = []
    outputs: list[_Tensor] = []


def connect(spec: ModelSpec) -> Predict:
    """Check an external server as `check_server` does, and return a function that calls its model.

    Raises:
        ConfigurationError: the server does not answer, is not ready for the model, or has other tensors.
    """
    check_server(spec)

    def predict(inputs: Tensors) -> Tensors:
        body = {
            "inputs": [
                encode_tensor(tensor.name, tensor.datatype, np.asarray(inputs[tensor.name]))
                for tensor in spec.inputs
            ]
        }
        answer = _request(f"{_model_url(spec)}/infer", msgspec.json.encode(body), spec.timeout)
        response = decode(answer, InferResponse)
        return {output.name: decode_tensor(output) for output in response.outputs}

    return predict


def check_server(spec: ModelSpec) -> None:
    """Compare the metadata of an external server with `model.toml`.

    Raises:
        ConfigurationError: the server does not answer, is not ready for the model, or has other tensors.
    """
    try:
        _request(f"{_model_url(spec)}/ready", None, CHECK_TIMEOUT_S)
        found = decode(_request(_model_url(spec), None, CHECK_TIMEOUT_S), _Metadata)
    except (ModelError, ContractError) as error:
        raise ConfigurationError(
            f"the server at {spec.url} does not serve {spec.name} in V2: {error}. Start it, or correct url "
            "or name in model.toml"
        ) from error
    if found.versions and spec.version not in found.versions:
        raise ConfigurationError(
            f"the server at {spec.url} has the versions {found.versions[:8]} of {spec.name}, but model.toml "
            f"says {spec.version!r}. Use one of them"
        )
    _check_tensors(spec, found)


def _check_tensors(spec: ModelSpec, found: _Metadata) -> None:
    for kind, ours, theirs in (
        ("inputs", spec.inputs, found.inputs),
        ("outputs", spec.outputs, found.outputs),
    ):
        wanted: dict[str, str] = {tensor.name: tensor.datatype for tensor in ours}
        given = {tensor.name: tensor.datatype for tensor in theirs}
        # A server may have more outputs, and some describe no tensors at all.
        if given and (
            any(given.get(name) != datatype for name, datatype in wanted.items())
            or (kind == "inputs" and len(given) != len(wanted))
        ):
            raise ConfigurationError(
                f"the server at {spec.url} has the {kind} {given} for {spec.name}, but model.toml lists "
                f"{wanted}. Make them equal"
            )


def _model_url(spec: ModelSpec) -> str:
    return f"{(spec.url or '').rstrip('/')}/v2/models/{spec.name}"


def _request(url: str, body: bytes | None, timeout: float) -> bytes:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - model.toml allows only http(s)
    try:
        with open_url(request, timeout) as response:
            content = response.read(MAX_RESPONSE_BYTES + 1)
    except urllib.error.HTTPError as error:
        text = error.read(500).decode(errors="replace")
        raise ModelError(f"{url} returned {error.code}: {text}") from error
    except OSError as error:
        raise ModelError(f"{url} cannot be reached: {error}") from error
    if len(content) > MAX_RESPONSE_BYTES:
        raise ModelError(f"{url} returned more than {MAX_RESPONSE_BYTES} bytes")
    return content
