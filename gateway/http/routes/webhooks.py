"""The endpoints of webhooks: `/v1/webhooks`."""

import msgspec
from flask import Blueprint, Response, request

from gateway.http.context import AppContext
from gateway.http.rendering.answer import json_answer
from gateway.http.rendering.problems import ApiError
from gateway.shared.request_builder import WEBHOOK_HEADER
from gateway.webhooks.address import check_url
from gateway.webhooks.signing import new_secret
from outcomes.queries.webhooks import register, remove, webhooks_of
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical


class _NewWebhook(msgspec.Struct, forbid_unknown_fields=True):
    url: str


def blueprint(context: AppContext) -> Blueprint:
    """Return the endpoints below `/v1/webhooks`; a key has access to its own webhooks only."""
    made = Blueprint("webhooks", __name__, url_prefix="/v1/webhooks")

    @made.post("")
    def create() -> Response:
        key = context.auth.require("webhooks")
        try:
            wanted = decode(request.get_data(cache=False), _NewWebhook)
        except ContractError as error:
            raise ContractError(f'the body is not {{"url": "https://..."}}: {error}') from error
        check_url(wanted.url, context.settings.trusted)
        with context.ledger.connection() as connection:
            webhook = register(connection, key_id=key.id, url=wanted.url, secret=new_secret())
        shown = {"id": webhook.id, "url": webhook.url, "secret": webhook.secret}
        return json_answer(shown, 201, Location=f"/v1/webhooks/{webhook.id}")

    @made.get("")
    def listing() -> Response:
        key = context.auth.require("webhooks")
        with context.ledger.connection() as connection:
            found = webhooks_of(connection, key.id)
        return json_answer({"webhooks": [{"id": each.id, "url": each.url} for each in found]})

    @made.delete("/<webhook_id>")
    def delete(webhook_id: str) -> Response:
        key = context.auth.require("webhooks")
        identity = canonical(webhook_id)
        done = False
        if identity is not None:
            with context.ledger.connection() as connection:
                done = remove(connection, identity, key_id=key.id)
        if not done:
            raise ApiError(404, "unknown_webhook", f"this key has no webhook {webhook_id[:64]}")
        return Response(status=204)

    return made


def requested_webhook(context: AppContext, key_id: str) -> str | None:
    """Return the id of the webhook that the current HTTP request names; None if it names none.

    Raises:
        ApiError: the key does not have this webhook.
    """
    webhook_id = request.headers.get(WEBHOOK_HEADER)
    if webhook_id is None:
        return None
    with context.ledger.connection() as connection:
        owned = {each.id for each in webhooks_of(connection, key_id)}
    identity = canonical(webhook_id)
    if identity not in owned:
        raise ApiError(
            404,
            "unknown_webhook",
            f"this key has no webhook {webhook_id[:64]}: create one with POST /v1/webhooks",
        )
    return identity
