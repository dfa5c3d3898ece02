"""The gateway as a Flask application; gunicorn serves it, `python -m gateway http` starts gunicorn."""

import logging
import os
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from flask import Flask, Response, request

from gateway.http.auth import Keys
from gateway.http.context import Parts
from gateway.http.rendering import openapi, problems
from gateway.http.requests.broker_client import Exchange
from gateway.http.requests.idempotency import Firsts
from gateway.http.requests.models import Models
from gateway.http.requests.recent_requests import Recent
from gateway.http.requests.submission_log import Notes
from gateway.http.requests.worker_directory import Hosts
from gateway.http.routes import batches, introspection, requests, v2, webhooks
from gateway.http.settings import Settings
from outcomes.db.pool import LedgerPool
from outcomes.queries.keys import Key, find_key
from outcomes.queries.submissions import Submission, content_digest, insert_submissions
from straightline import names
from straightline.amqp.consuming.deployments import Deployments
from straightline.amqp.consuming.reply_queue import Inbox
from straightline.errors import ContractError
from straightline.settings import load
from straightline.storage.store import Store

HEARD: Final = 1.0
"""Seconds that the start waits to hear what is deployed: nobody shall be told that a model is unknown."""
QUESTION: Final = 8.0
"""Seconds that a question to the ledger may take."""
PATIENCE: Final = 10.0
"""Seconds for a ledger that says nothing. Who asks is told so before he gives us up: `straightline` waits
30 s, in which a key and then what it asks for are looked up."""
log = logging.getLogger(__name__)


def create() -> Flask:
    """Connect to what the environment names, and return the application.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    settings = load(Settings, os.environ)
    reader = LedgerPool(
        settings.database_url,
        name="straightline-gateway",
        wait=PATIENCE,
        statement_timeout=QUESTION,
        patience=PATIENCE,
    )
    # A connection of its own: questions that take long keep nobody from being told that he was heard.
    writer = LedgerPool(settings.database_url, name="straightline-gateway-notes", connections=1)
    # Likewise: the search for a placement reads much, and holds up no look-up of a key or an outcome.
    searcher = LedgerPool(
        settings.database_url,
        name="straightline-gateway-placed",
        connections=1,
        wait=0.1,
        statement_timeout=1.0,
    )

    # Likewise: a request is sent after it, so it takes no long time.
    namer = LedgerPool(
        settings.database_url,
        name="straightline-gateway-firsts",
        wait=0.5,
        statement_timeout=0.5,
    )

    def find(digest: str) -> Key | None:
        with reader.connection() as connection:
            return find_key(connection, digest)

    def first(request_id: str) -> str | None:
        with namer.connection() as connection:
            return content_digest(connection, request_id)

    def keep(submissions: Sequence[Submission]) -> None:
        with writer.connection() as connection:
            insert_submissions(connection, submissions)

    models = Models(settings.models_dir)
    deployments = Deployments(
        settings.broker_url, name="straightline-gateway-deployed", on_change=models.learn, marks=False
    )
    deployments.start()
    if not deployments.wait_for_one(HEARD):
        log.info("nothing was announced as deployed yet: the models are those of the directory")
    return build(
        Parts(
            settings=settings,
            exchange=Exchange(settings.broker_url, most=settings.gateway_pending),
            reader=reader,
            searcher=searcher,
            keys=Keys(find, seconds=settings.key_seconds),
            models=models,
            hosts=_hosts(settings.broker_url),
            recent=Recent(),
            notes=Notes(keep),
            store=Store(settings.store) if settings.store else None,
            firsts=Firsts(first),
        )
    )


def _hosts(url: str) -> Hosts:
    """Hear the pools' heartbeats from now on."""
    hosts = Hosts()
    Inbox(
        url,
        name="straightline-gateway-hosts",
        queue=f"{names.REPLY_QUEUE_PREFIX}{secrets.token_hex(12)}",
        exchange=names.SIGNALS,
        key=names.HEARTBEAT_KEY,
        on_message=lambda _, body: hosts.tell(body),
    )
    return hosts


def build(parts: Parts) -> Flask:
    """Return the application over its parts."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = parts.settings.gateway_max_body
    app.before_request(_as_it_is)
    app.register_blueprint(v2.blueprint(parts))
    app.register_blueprint(requests.blueprint(parts))
    app.register_blueprint(webhooks.blueprint(parts))
    app.register_blueprint(batches.blueprint(parts))
    app.register_blueprint(introspection.blueprint(parts))
    described = msgspec.json.encode(openapi.document())

    @app.get("/openapi.json")
    def description() -> Response:
        return Response(described, mimetype="application/json")

    problems.register(app)
    return app


def _as_it_is() -> None:
    """Refuse a compressed body: it has no bound before it is unpacked, and a batch is read from any place."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise ContractError(f"the body is compressed ({encoding[:32]}): send it as it is")
