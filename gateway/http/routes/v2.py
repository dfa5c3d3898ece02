"""The endpoints of the Open Inference Protocol (V2): the whole system as one model server."""

import time
from typing import Final

import msgspec
from flask import Blueprint, Response, request

from gateway.http.context import AppContext
from gateway.http.rendering import binary
from gateway.http.rendering.answer import json_answer
from gateway.http.rendering.prefer import parse_prefer
from gateway.http.rendering.problems import ApiError, error_for_outcome
from gateway.http.routes.requests import accepted
from gateway.http.routes.webhooks import requested_webhook
from gateway.shared.request_builder import id_from_idempotency_key, trace_context
from straightline.contracts import InferResponse, ModelSpec, Outcome
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.tensors.binary_tensors import LENGTH_HEADER, take_binary_outputs
from straightline.contracts.tensors.v2 import InferRequest
from straightline.errors import ContractError

SECONDS_PER_US: Final = 1e-6
"""Triton's clients send the parameter `timeout` in microseconds."""
MAX_TIMEOUT_US: Final = 86_400_000_000
"""One day; longer time-outs count as this."""


def blueprint(context: AppContext) -> Blueprint:
    """Return the endpoints below `/v2`."""
    made = Blueprint("v2", __name__, url_prefix="/v2")

    @made.get("")
    def server() -> Response:
        return json_answer({"name": "straightline", "version": "2", "extensions": ["binary_tensor_data"]})

    @made.get("/health/live")
    def live() -> Response:
        return json_answer({"live": True})

    @made.get("/health/ready")
    def ready() -> Response:
        trouble = context.broker.unavailable_reason
        return json_answer({"ready": trouble is None}, 200 if trouble is None else 503)

    @made.get("/models/<name>")
    @made.get("/models/<name>/versions/<version>")
    def metadata(name: str, version: str | None = None) -> Response:
        spec = _model_spec(context, name, version)
        return json_answer(
            {
                "name": spec.name,
                "versions": list(context.models.catalogue().models[name]),
                "platform": "straightline",
                "inputs": spec.inputs,
                "outputs": spec.outputs,
            }
        )

    @made.get("/models/<name>/ready")
    @made.get("/models/<name>/versions/<version>/ready")
    def model_ready(name: str, version: str | None = None) -> Response:
        spec = _model_spec(context, name, version)
        ready = context.broker.unavailable_reason is None
        content = {"name": spec.name, "version": spec.version, "ready": ready}
        return json_answer(content, 200 if ready else 503)

    @made.post("/models/<name>/infer")
    @made.post("/models/<name>/versions/<version>/infer")
    def infer(name: str, version: str | None = None) -> Response:
        key = context.auth.require("infer")
        _model_spec(context, name, version)
        data, infer_request, binary_outputs = _read(request.get_data(cache=False))
        webhook = requested_webhook(context, key.id)
        now = time.time()
        prepared = context.requests.prepare(
            {
                "model": name,
                "version": version,
                "data": data,
                "id": id_from_idempotency_key(key.id, request.headers.get("Idempotency-Key")),
            },
            now=now,
            deadline=now + _timeout_s(infer_request, context.settings.gateway_timeout),
            decoded=True,
        )
        trace = trace_context(dict(request.headers))
        if webhook is not None:
            context.requests.submit(prepared, trace, webhook=webhook)
            return accepted(prepared)
        wait = parse_prefer(request.headers.get("Prefer")).wait
        outcome = context.requests.submit_and_wait(prepared, trace, wait=wait)
        if outcome is None:
            return accepted(prepared)
        return _infer_response(outcome, binary_outputs)

    return made


def _model_spec(context: AppContext, name: str, version: str | None) -> ModelSpec:
    catalogue = context.models.catalogue()
    spec = catalogue.find(name, version)
    if spec is None:
        versions = catalogue.models.get(name)
        if versions:
            there = ", ".join(versions)
            text = f"model {name} has no version {(version or '')[:64]}; it has {there}"
            raise ApiError(404, "unknown_version", text)
        known = ", ".join(sorted(catalogue.models)) or "none"
        raise ApiError(404, "unknown_model", f"no model {name[:64]}: deployed are {known}")
    return spec


def _read(body: bytes) -> tuple[msgspec.Raw, InferRequest, frozenset[str] | bool]:
    """Return the data in JSON, the decoded request, and the outputs to send in binary."""
    header_length = request.headers.get(LENGTH_HEADER)
    infer_request = binary.read_request(body, header_length)
    outputs = take_binary_outputs(infer_request)
    unchanged = header_length is None and not outputs
    data = msgspec.Raw(body if unchanged else msgspec.json.encode(infer_request))
    return data, infer_request, outputs


def _timeout_s(infer_request: InferRequest, default: float) -> float:
    """Return the time-out of a request in seconds; 0 means the default, as with Triton."""
    timeout = infer_request.parameters.get("timeout", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout < 0:
        raise ContractError(
            "parameters.timeout must be a number of microseconds, such as 5000000 for five seconds",
            error_class="wrong_type",
        )
    return min(timeout, MAX_TIMEOUT_US) * SECONDS_PER_US if timeout else default


def _infer_response(outcome: Outcome, binary_outputs: frozenset[str] | bool) -> Response:
    if outcome.state != "succeeded":
        raise error_for_outcome(outcome)
    headers = {
        "X-StraightLine-Request-Id": outcome.request_id,
        "X-StraightLine-Backend": outcome.backend or "",
    }
    if not binary_outputs:
        return Response(bytes(outcome.result), 200, headers, mimetype="application/json")
    try:
        response = decode(outcome.result, InferResponse)
        body, length = binary.write_response(response, binary_outputs)
    except (ContractError, ValueError, OverflowError, TypeError) as error:
        raise ApiError(
            502,
            "bad_result",
            f"the result of the model cannot be written in binary: {error}. Ask for JSON, or mend the model",
            request_id=outcome.request_id,
        ) from error
    if length is None:
        return Response(body, 200, headers, mimetype="application/json")
    return Response(body, 200, headers | {LENGTH_HEADER: str(length)}, mimetype="application/octet-stream")
