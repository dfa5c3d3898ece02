"""The Open Inference Protocol (V2) over HTTP, as a Flask application, with binary tensors in and out.

Every error is `{"error": "<sentence>"}` with a status that tells whose fault it is, and the header
`X-StraightLine-Error` with a stable word:

| status | word | meaning |
|---|---|---|
| 400 | `invalid_input` | the request does not fit the model or is not V2: final |
| 422 | `model_error` | the model raised in predict: final |
| 404 | `unknown_model` | not deployed on this server |
| 503 | `loading` | it is being loaded: ask again in a moment |
| 404, 405 | `not_found` | no such route |
| 413 | `too_large` | the body is above STRAIGHTLINE_SERVE_MAX_BODY |
| 507 | `out_of_memory` | this server had not memory enough: another may |
| 500 | `server_fault` | a fault of the server itself |
"""

import logging
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
_log = logging.getLogger(__name__)


def create() -> Flask:
    """Load the models of `STRAIGHTLINE_MODELS_DIR` and return the application that serves them.

    Raises:
        ConfigurationError: a setting is wrong, or no bundle of those that are there can be loaded; where the
            directory is not watched, one that cannot is enough.
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
    """Serve what can be served of a directory; what cannot be loaded keeps nothing else from being served."""
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
        return _json({"ready": True})  # every model is loaded before the first request is taken

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
        message = "the body is above what this server takes (STRAIGHTLINE_SERVE_MAX_BODY): send fewer at once"
    elif isinstance(error, HTTPException):
        status, word = error.code or 500, "not_found"
        message = error.description or error.name
    elif status == 500:
        _log.exception("a request failed in the server itself", exc_info=error)
        message = "the server failed; its log says more"
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
