"""Flask application of the Open Inference Protocol (V2), with the binary tensor extension.

An error response is `{"error": "<message>"}`, with a stable word in the header `X-StraightLine-Error`:

| status | word | meaning |
|---|---|---|
| 400 | `invalid_input` | the request is not V2 or does not fit the model; do not retry |
| 422 | `model_error` | the model raised an exception; do not retry |
| 404 | `unknown_model` | the model or version is not deployed here |
| 503 | `loading` | the model is being loaded; retry in a moment |
| 404, 405 | `not_found` | no such route |
| 413 | `too_large` | the body exceeds STRAIGHTLINE_SERVE_MAX_BODY |
| 507 | `out_of_memory` | not enough memory here; another server may have more |
| 500 | `server_fault` | internal error |
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from model_server.errors import InvalidInput, ModelError, OutOfMemory
from model_server.models.bundle import Bundle, read_bundles
from model_server.models.engine import Engine, load_engine
from model_server.models.registry import ModelLoading, Registry, UnknownModel
from model_server.models.watcher import ModelWatcher
from model_server.settings import Settings, check_directory
from model_server.tensors.encode import encode_response
from straightline.contracts.tensors.binary_tensors import LENGTH_HEADER, read_body, take_binary_outputs
from straightline.errors import ConfigurationError, ContractError
from straightline.settings import load
from straightline.support.event_log import EventLogger

ERROR_HEADER: Final = "X-StraightLine-Error"
_STATUS_CODES: Final[dict[type[Exception], tuple[int, str]]] = {
    ContractError: (400, "invalid_input"),
    InvalidInput: (400, "invalid_input"),
    ModelError: (422, "model_error"),
    UnknownModel: (404, "unknown_model"),
    ModelLoading: (503, "loading"),
    RequestEntityTooLarge: (413, "too_large"),
    OutOfMemory: (507, "out_of_memory"),
    MemoryError: (507, "out_of_memory"),
}
_log = EventLogger(__name__)


def create() -> Flask:
    """Load the models of `STRAIGHTLINE_MODELS_DIR` and return the application that serves them.

    Raises:
        ConfigurationError: a setting is invalid; no model can be loaded though there are some; or, if the
            directory is not watched, one model cannot be loaded.
    """
    settings = load(Settings, os.environ)
    models = Path(settings.models_dir)

    def engine_of(bundle: Bundle) -> Engine:
        return load_engine(bundle, threads=settings.serve_model_threads)

    if settings.serve_watch > 0:
        registry = _watched_registry(models, engine_of, settings.serve_watch)
    else:
        bundles = read_bundles(models)
        registry = Registry(engine_of(bundle) for bundle in bundles if bundle.flavour != "external")
    return build(registry, max_body=settings.serve_max_body)


def _watched_registry(models: Path, engine_of: Callable[[Bundle], Engine], interval: float) -> Registry:
    """Return a registry that follows a model directory; a broken bundle does not affect the others."""
    check_directory(models)
    registry = Registry(())
    watch = ModelWatcher(models, registry, engine_of, {})
    watch.scan()
    states = registry.index()
    if states and all(each["state"] == "UNAVAILABLE" for each in states):
        raise ConfigurationError("; ".join(each["reason"] for each in states))
    registry.refresh_when_unknown(watch.request_scan)
    watch.start(interval)
    return registry


def build(registry: Registry, *, max_body: int) -> Flask:
    """Return the application for the models of `registry`."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = max_body

    @app.get("/v2")
    def server() -> Response:
        return _json({"name": "straightline", "version": "2", "extensions": ["binary_tensor_data"]})

    @app.get("/v2/health/live")
    def live() -> Response:
        return _json({"live": True})

    @app.get("/v2/health/ready")
    def ready() -> Response:
        return _json({"ready": True})  # every model is loaded before the first request

    @app.route("/v2/repository/index", methods=["GET", "POST"])
    def index() -> Response:
        return _json(registry.index())

    @app.get("/v2/models/<name>")
    @app.get("/v2/models/<name>/versions/<version>")
    def metadata(name: str, version: str | None = None) -> Response:
        engine = registry.find(name, version)
        return _json(_metadata(engine, registry.versions(name)))

    @app.get("/v2/models/<name>/ready")
    @app.get("/v2/models/<name>/versions/<version>/ready")
    def model_ready(name: str, version: str | None = None) -> Response:
        spec = registry.find(name, version).spec
        return _json({"name": spec.name, "version": spec.version, "ready": True})

    @app.post("/v2/models/<name>/infer")
    @app.post("/v2/models/<name>/versions/<version>/infer")
    def infer(name: str, version: str | None = None) -> Response:
        engine = registry.find(name, version)
        return _infer(engine, request.get_data(cache=False), request.headers.get(LENGTH_HEADER))

    app.register_error_handler(Exception, _error_response)
    return app


def _infer(engine: Engine, body: bytes, header_length: str | None) -> Response:
    decoded = read_body(body, header_length)
    outputs = take_binary_outputs(decoded.request)
    tensors = engine.tensors(decoded.request, decoded.raw)
    content, length = encode_response(engine.spec, decoded.request.id, tensors, outputs)
    if length is None:
        return Response(content, mimetype="application/json")
    headers = {LENGTH_HEADER: str(length)}
    return Response(content, headers=headers, mimetype="application/octet-stream")


def _error_response(error: Exception) -> Response:
    status, word = _STATUS_CODES.get(type(error), (500, "server_fault"))
    message = str(error)
    if isinstance(error, RequestEntityTooLarge):
        message = "the body exceeds STRAIGHTLINE_SERVE_MAX_BODY. Send less in one request"
    elif isinstance(error, HTTPException):
        status, word = error.code or 500, "not_found"
        message = error.description or error.name
    elif status == 500:
        _log.error("http_request_failed", raised=error)
        message = "internal error. See the log of the model server"
    response = _json({"error": message}, status)
    response.headers[ERROR_HEADER] = word
    return response


def _metadata(engine: Engine, versions: list[str]) -> dict[str, Any]:
    return {
        "name": engine.spec.name,
        "versions": versions,
        "platform": "straightline",
        "inputs": engine.spec.inputs,
        "outputs": engine.spec.outputs,
    }


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, mimetype="application/json")
