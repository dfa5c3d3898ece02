"""Webhooks: the URLs that an API key's owner registered.

A secret signs notifications, so it is stored in clear; only the roles that need it may read the table.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select

from outcomes.db.translation import translated
from outcomes.schema.tables import WEBHOOKS
from straightline.ids import new_id


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that is notified when requests of a key's owner end.

    Attributes:
        id: of the webhook.
        key_id: of its owner's API key.
        url: where notifications are sent.
        secret: signs them.
    """

    id: str
    key_id: str
    url: str
    secret: str


def register(connection: Connection, *, key_id: str, url: str, secret: str) -> Webhook:
    """Insert a webhook."""
    webhook = Webhook(id=new_id(), key_id=key_id, url=url, secret=secret)
    with translated():
        connection.execute(insert(WEBHOOKS).values(msgspec.structs.asdict(webhook)))
        connection.commit()
    return webhook


def webhooks_of(connection: Connection, key_id: str) -> Sequence[Webhook]:
    """Return the webhooks of a key, oldest first."""
    with translated():
        rows = connection.execute(
            select(WEBHOOKS).where(WEBHOOKS.c.key_id == key_id).order_by(WEBHOOKS.c.id)
        ).mappings()
        return [webhook_from({**row}) for row in rows]


def remove(connection: Connection, webhook_id: str, *, key_id: str | None = None) -> bool:
    """Delete a webhook and its pending notifications; False if there is none (of this key)."""
    statement = delete(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id)
    if key_id is not None:
        statement = statement.where(WEBHOOKS.c.key_id == key_id)
    with translated():
        deleted = connection.execute(statement).rowcount
        connection.commit()
    return bool(deleted)


def webhook_from(row: Mapping[str, Any]) -> Webhook:
    """Build a webhook from a row of the table."""
    return Webhook(id=row["id"], key_id=row["key_id"], url=row["url"], secret=row["secret"])
