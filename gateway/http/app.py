"""The Flask application that gunicorn serves."""

import os

import msgspec
from flask import Flask, Response, request

from gateway.http.context import AppContext
from gateway.http.rendering import openapi, problems
from gateway.http.routes import batches, introspection, requests, v2, webhooks
from gateway.http.settings import Settings
from gateway.http.wiring import connect
from straightline.errors import ContractError
from straightline.settings import load


def create() -> Flask:
    """Connect to what the environment names, and return the application.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    return build(connect(load(Settings, os.environ)))


def build(context: AppContext) -> Flask:
    """Return the application with all its endpoints."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = context.settings.gateway_max_body
    app.before_request(_reject_compressed)
    for module in (v2, requests, webhooks, batches, introspection):
        app.register_blueprint(module.blueprint(context))
    document = msgspec.json.encode(openapi.document())

    @app.get("/openapi.json")
    def description() -> Response:
        return Response(document, mimetype="application/json")

    problems.register(app)
    return app


def _reject_compressed() -> None:
    """Reject a compressed body: its unpacked size is unbounded, and batch files need random access."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise ContractError(f"the body is compressed ({encoding[:32]}): send it uncompressed")
