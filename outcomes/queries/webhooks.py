"""Webhooks in the ledger: who is told where, and what is still to be told.

A secret signs, so it is kept in clear; it stands in this table alone, which only its readers may read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import msgspec
from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from outcomes.db.translation import translated
from outcomes.schema.tables import WEBHOOK_DELIVERIES, WEBHOOKS
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


class DueDelivery(msgspec.Struct, frozen=True, kw_only=True):
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
    with translated():
        add_delivery(connection, webhook_id, request_id, body)
        connection.commit()


def add_delivery(connection: Connection, webhook_id: str, ended: str, body: bytes) -> None:
    """Note as `enqueue` does what a webhook is to be told of an end, in the caller's transaction.

    Args:
        connection: to the ledger, within `translated`.
        webhook_id: who is told.
        ended: id of the request or batch job.
        body: what is sent.
    """
    known = select(WEBHOOKS.c.id).where(WEBHOOKS.c.id == webhook_id)
    if connection.execute(known).first() is not None:
        values = {"id": new_id(), "webhook_id": webhook_id, "request_id": ended, "body": body}
        connection.execute(upsert(WEBHOOK_DELIVERIES).values(values).on_conflict_do_nothing())


def take_due(
    connection: Connection,
    *,
    most: int,
    lease: timedelta,
    share: int | None = None,
    running: Mapping[str, int] = MappingProxyType({}),
) -> list[DueDelivery]:
    """Take deliveries whose time has come, so that no other process takes them within `lease`.

    Args:
        connection: to the ledger.
        most: how many.
        lease: how long they are the caller's.
        share: how many of one key the caller may have at once; None for any number.
        running: how many of each key, by its id, he has already.
    """
    table = WEBHOOK_DELIVERIES
    full = [key for key, count in running.items() if share is not None and count >= share]
    due = (
        select(table.c.id, table.c.webhook_id, table.c.body, table.c.failures)
        .add_columns(WEBHOOKS.c.key_id, WEBHOOKS.c.url, WEBHOOKS.c.secret)
        .join(WEBHOOKS, WEBHOOKS.c.id == table.c.webhook_id)
        .where(table.c.next_at <= func.now(), WEBHOOKS.c.key_id.not_in(full))
        .order_by(table.c.next_at)
        .limit(most)
        .with_for_update(skip_locked=True, of=table)
    )
    with translated():
        found = [_due(row) for row in connection.execute(due).mappings()]
        taken = found if share is None else _shared(found, share, running)
        ids = [each.id for each in taken]
        until = datetime.now(UTC) + lease
        if ids:
            connection.execute(update(table).where(table.c.id.in_(ids)).values(next_at=until))
        connection.commit()
    return taken


def record_attempt(
    connection: Connection, due: DueDelivery, *, again_in: float | None, error: str | None
) -> None:
    """Note what became of a try; twice is as good as once.

    Args:
        connection: to the ledger.
        due: what was tried, as it was taken.
        again_in: seconds until the next try; None where it is done, or given up.
        error: why it was not taken; None where it was.
    """
    table = WEBHOOK_DELIVERIES
    changes = {
        "next_at": None if again_in is None else datetime.now(UTC) + timedelta(seconds=again_in),
        "failures": due.failures + (0 if error is None else 1),
        "error": error,
        "delivered_at": func.now() if error is None else None,
    }
    with translated():
        connection.execute(update(table).where(table.c.id == due.id).values(changes))
        connection.commit()


def _shared(found: Sequence[DueDelivery], share: int, running: Mapping[str, int]) -> list[DueDelivery]:
    """Return those that leave no key with more than its share."""
    counts, taken = Counter(running), []
    for due in found:
        if counts[due.webhook.key_id] < share:
            counts[due.webhook.key_id] += 1
            taken.append(due)
    return taken


def _due(row: RowMapping) -> DueDelivery:
    webhook = Webhook(id=row["webhook_id"], key_id=row["key_id"], url=row["url"], secret=row["secret"])
    return DueDelivery(id=row["id"], webhook=webhook, body=bytes(row["body"]), failures=row["failures"])


def _webhook(row: dict[str, str]) -> Webhook:
    return Webhook(id=row["id"], key_id=row["key_id"], url=row["url"], secret=row["secret"])
