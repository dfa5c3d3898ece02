"""Webhooks in the ledger: who is told where, and what is still to be told.

A secret signs, so it is kept in clear; it stands in this table alone, which only its readers may read.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from outcomes.database import translated
from outcomes.tables import WEBHOOK_DELIVERIES, WEBHOOKS
from straightline.ids import new_id


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where the owner of a key is told.

    Attributes:
        id: names it.
        key_id: of its owner's key.
        url: where.
        secret: signs what is sent there.
    """

    id: str
    key_id: str
    url: str
    secret: str


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery whose time has come.

    Attributes:
        id: the message's, the same at each try.
        webhook: where to.
        body: what is sent.
        failures: tries so far.
    """

    id: str
    webhook: Webhook
    body: bytes
    failures: int


def register(connection: Connection, *, key_id: str, url: str, secret: str) -> Webhook:
    """Keep a webhook."""
    made = Webhook(id=new_id(), key_id=key_id, url=url, secret=secret)
    with translated():
        connection.execute(insert(WEBHOOKS).values(msgspec.structs.asdict(made)))
        connection.commit()
    return made


def webhooks_of(connection: Connection, key_id: str) -> Sequence[Webhook]:
    """Return the webhooks of a key, the oldest first."""
    with translated():
        rows = connection.execute(
            select(WEBHOOKS).where(WEBHOOKS.c.key_id == key_id).order_by(WEBHOOKS.c.id)
        ).mappings()
        return [_webhook(dict(row)) for row in rows]


def remove(connection: Connection, webhook_id: str, *, key_id: str | None = None) -> bool:
    """Forget a webhook and what is still to be told there; False where there is none (of this key)."""
    statement = delete(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id)
    if key_id is not None:
        statement = statement.where(WEBHOOKS.c.key_id == key_id)
    with translated():
        done = connection.execute(statement).rowcount
        connection.commit()
    return bool(done)


def enqueue(connection: Connection, webhook_id: str, request_id: str, body: bytes) -> None:
    """Note that a webhook is to be told of a request; once, however often it is asked.

    A webhook that was removed meanwhile is told nothing.
    """
    known = select(WEBHOOKS.c.id).where(WEBHOOKS.c.id == webhook_id)
    with translated():
        if connection.execute(known).first() is not None:
            values = {"id": new_id(), "webhook_id": webhook_id, "request_id": request_id, "body": body}
            connection.execute(upsert(WEBHOOK_DELIVERIES).values(values).on_conflict_do_nothing())
        connection.commit()


def take_due(connection: Connection, *, most: int, lease: timedelta) -> list[Due]:
    """Take deliveries whose time has come, so that no other process takes them within `lease`."""
    table = WEBHOOK_DELIVERIES
    due = (
        select(table.c.id)
        .where(table.c.next_at <= func.now())
        .order_by(table.c.next_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(table)
        .where(table.c.id.in_(due.scalar_subquery()))
        .values(next_at=datetime.now(UTC) + lease)
        .returning(table)
    )
    with translated():
        rows = list(connection.execute(taken).mappings())
        wanted = {row["webhook_id"] for row in rows}
        found = connection.execute(select(WEBHOOKS).where(WEBHOOKS.c.id.in_(wanted))).mappings()
        known = {row["id"]: _webhook(dict(row)) for row in found}
        connection.commit()
    return [
        Due(id=row["id"], webhook=known[row["webhook_id"]], body=bytes(row["body"]), failures=row["failures"])
        for row in rows
        if row["webhook_id"] in known
    ]


def settle(connection: Connection, delivery_id: str, *, again_in: float | None, error: str | None) -> None:
    """Note what became of a try.

    Args:
        connection: to the ledger.
        delivery_id: which.
        again_in: seconds until the next try; None where it is done, or given up.
        error: why it was not taken; None where it was.
    """
    table = WEBHOOK_DELIVERIES
    changes = {
        "next_at": None if again_in is None else datetime.now(UTC) + timedelta(seconds=again_in),
        "failures": table.c.failures + (0 if error is None else 1),
        "error": error,
        "delivered_at": func.now() if error is None else None,
    }
    with translated():
        connection.execute(update(table).where(table.c.id == delivery_id).values(changes))
        connection.commit()


def _webhook(row: dict[str, str]) -> Webhook:
    return Webhook(id=row["id"], key_id=row["key_id"], url=row["url"], secret=row["secret"])
