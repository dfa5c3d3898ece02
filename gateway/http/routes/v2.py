"""The Open Inference Protocol (V2): the whole hybrid system as if it were one model server."""

import time
from typing import Final

import msgspec
from flask import Blueprint, Response, request

from gateway.http.context import Parts
from gateway.http.rendering import binary
from gateway.http.rendering.answer import json_answer
from gateway.http.rendering.prefer import preference
from gateway.http.rendering.problems import Refusal, refusal_of
from gateway.http.routes.requests import accepted
from gateway.http.routes.webhooks import wished_webhook
from gateway.shared.request_builder import compose, id_for, traces
from straightline.contracts import InferResponse, ModelSpec, Outcome
from straightline.contracts.tensors.v2 import InferRequest, decode_infer_request
from straightline.errors import ContractError

MICROSECONDS: Final = 1e-6
"""Of the parameter `timeout`, as Triton's clients send it."""
LONGEST: Final = 86_400_000_000
"""Microseconds that it counts for at most."""


def blueprint(parts: Parts) -> Blueprint:
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
        trouble = parts.exchange.trouble
        return json_answer({"ready": trouble is None}, 200 if trouble is None else 503)

    @made.get("/models/<name>")
    @made.get("/models/<name>/versions/<version>")
    def metadata(name: str, version: str | None = None) -> Response:
        spec = _find(parts, name, version)
        return json_answer(
            {
                "name": spec.name,
                "versions": list(parts.models.catalogue().models[name]),
                "platform": "straightline",
                "inputs": spec.inputs,
                "outputs": spec.outputs,
            }
        )

    @made.get("/models/<name>/ready")
    @made.get("/models/<name>/versions/<version>/ready")
    def model_ready(name: str, version: str | None = None) -> Response:
        spec = _find(parts, name, version)
        ready = parts.exchange.trouble is None
        content = {"name": spec.name, "version": spec.version, "ready": ready}
        return json_answer(content, 200 if ready else 503)

    @made.post("/models/<name>/infer")
    @made.post("/models/<name>/versions/<version>/infer")
    def infer(name: str, version: str | None = None) -> Response:
        key = parts.keys.require("infer")
        _find(parts, name, version)
        data, asked, wishes = _read(request.get_data(cache=False))
        webhook = wished_webhook(parts, key.id)
        now = time.time()
        composed = compose(
            {
                "model": name,
                "version": version,
                "data": data,
                "id": id_for(key.id, request.headers.get("Idempotency-Key")),
            },
            now=now,
            inline_limit=parts.settings.inline_limit,
            put=parts.put,
            deadline=now + _patience(asked, parts.settings.gateway_timeout),
            read=True,
        )
        if webhook is not None:
            parts.submit(composed, traces(dict(request.headers)), webhook=webhook)
            return accepted(parts, composed.id)
        prefer = preference(request.headers.get("Prefer"))
        outcome = parts.answer(composed, traces(dict(request.headers)), wait=prefer.wait)
        if outcome is None:
            return accepted(parts, composed.id)
        return _answered(outcome, wishes)

    return made


def _find(parts: Parts, name: str, version: str | None) -> ModelSpec:
    catalogue = parts.models.catalogue()
    spec = catalogue.find(name, version)
    if spec is None:
        versions = catalogue.models.get(name)
        if versions:
            there = ", ".join(versions)
            text = f"model {name} has no version {(version or '')[:64]}; it has {there}"
            raise Refusal(404, "unknown_version", text)
        known = ", ".join(sorted(catalogue.models)) or "none"
        raise Refusal(404, "unknown_model", f"there is no model {name[:64]}; deployed are: {known}")
    return spec


def _read(body: bytes) -> tuple[msgspec.Raw, InferRequest, frozenset[str] | bool]:
    """Return the request's data in JSON, what it says, and which outputs are wished for in binary."""
    length = request.headers.get(binary.LENGTH_HEADER)
    if length is None:
        asked = decode_infer_request(body)
    elif length.isdecimal():
        asked = binary.to_json(body, int(length))
    else:
        raise ContractError(f"{binary.LENGTH_HEADER} is not a number")
    wishes = binary.wanted(asked)
    plain = length is None and not wishes
    return msgspec.Raw(body if plain else msgspec.json.encode(asked)), asked, wishes


def _patience(asked: InferRequest, default: float) -> float:
    """Return the seconds that a caller waits; 0 and none mean the default, as with Triton."""
    timeout = asked.parameters.get("timeout", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout < 0:
        raise ContractError(
            "parameters.timeout is a number of microseconds, such as 5000000 for five seconds",
            error_class="wrong_type",
        )
    return min(timeout, LONGEST) * MICROSECONDS if timeout else default


def _answered(outcome: Outcome, wishes: frozenset[str] | bool) -> Response:
    if outcome.state != "succeeded":
        raise refusal_of(outcome)
    headers = {
        "X-StraightLine-Request-Id": outcome.request_id,
        "X-StraightLine-Backend": outcome.backend or "",
    }
    if not wishes:
        return Response(bytes(outcome.result), 200, headers, mimetype="application/json")
    response = msgspec.json.decode(outcome.result, type=InferResponse)
    body, length = binary.from_json(response, wishes)
    if length is None:
        return Response(body, 200, headers, mimetype="application/json")
    return Response(
        body, 200, headers | {binary.LENGTH_HEADER: str(length)}, mimetype="application/octet-stream"
    )
