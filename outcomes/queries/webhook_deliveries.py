"""Notifications to webhooks: enqueue them, lease those that are due, record each attempt."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from outcomes.db.translation import translated
from outcomes.queries.webhooks import Webhook
from outcomes.schema.tables import WEBHOOK_DELIVERIES, WEBHOOKS
from straightline.ids import new_id


class DueDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A notification to send now.

    Attributes:
        id: of the message, the same at each attempt.
        webhook: where to send it.
        body: what to send.
        failures: failed attempts so far.
    """

    id: str
    webhook: Webhook
    body: bytes
    failures: int


def enqueue(connection: Connection, webhook_id: str, request_id: str, body: bytes) -> None:
    """Enqueue a notification about a request. Idempotent; does nothing for a removed webhook."""
    with translated():
        add_delivery(connection, webhook_id, request_id, body)
        connection.commit()


def add_delivery(connection: Connection, webhook_id: str, ended: str, body: bytes) -> None:
    """Enqueue a notification as `enqueue` does, in the caller's transaction.

    Args:
        connection: to the ledger, within `translated`.
        webhook_id: of the webhook.
        ended: id of the request or batch job that ended.
        body: what to send.
    """
    known = select(WEBHOOKS.c.id).where(WEBHOOKS.c.id == webhook_id)
    if connection.execute(known).first() is not None:
        values = {"id": new_id(), "webhook_id": webhook_id, "request_id": ended, "body": body}
        connection.execute(upsert(WEBHOOK_DELIVERIES).values(values).on_conflict_do_nothing())


def take_due(
    connection: Connection,
    *,
    limit: int,
    lease: timedelta,
    max_per_key: int | None = None,
    running: Mapping[str, int] = MappingProxyType({}),
) -> list[DueDelivery]:
    """Lease due notifications, so that no other process takes them within `lease`.

    Args:
        connection: to the ledger.
        limit: maximum number.
        lease: how long they belong to the caller.
        max_per_key: maximum that the caller may hold of one API key; None for no limit.
        running: number that the caller already holds, by key id.
    """
    table = WEBHOOK_DELIVERIES
    full = [key for key, count in running.items() if max_per_key is not None and count >= max_per_key]
    with translated():
        found = [_due(row) for row in connection.execute(_select_due(limit, full)).mappings()]
        taken = found if max_per_key is None else _capped(found, max_per_key, running)
        ids = [each.id for each in taken]
        until = datetime.now(UTC) + lease
        if ids:
            connection.execute(update(table).where(table.c.id.in_(ids)).values(next_at=until))
        connection.commit()
    return taken


def record_attempt(
    connection: Connection, due: DueDelivery, *, again_in: float | None, error: str | None
) -> None:
    """Record the result of an attempt. Idempotent.

    Args:
        connection: to the ledger.
        due: the notification, as it was taken.
        again_in: seconds until the next attempt; None if it was delivered or is given up.
        error: why it failed; None if it was delivered.
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


def _select_due(limit: int, full: Sequence[str]) -> Select[Any]:
    table = WEBHOOK_DELIVERIES
    return (
        select(table.c.id, table.c.webhook_id, table.c.body, table.c.failures)
        .add_columns(WEBHOOKS.c.key_id, WEBHOOKS.c.url, WEBHOOKS.c.secret)
        .join(WEBHOOKS, WEBHOOKS.c.id == table.c.webhook_id)
        .where(table.c.next_at <= func.now(), WEBHOOKS.c.key_id.not_in(full))
        .order_by(table.c.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=table)
    )


def _capped(found: Sequence[DueDelivery], max_per_key: int, running: Mapping[str, int]) -> list[DueDelivery]:
    """Return the notifications that keep every key within its maximum."""
    counts, taken = Counter(running), []
    for due in found:
        if counts[due.webhook.key_id] < max_per_key:
            counts[due.webhook.key_id] += 1
            taken.append(due)
    return taken


def _due(row: RowMapping) -> DueDelivery:
    webhook = Webhook(id=row["webhook_id"], key_id=row["key_id"], url=row["url"], secret=row["secret"])
    return DueDelivery(id=row["id"], webhook=webhook, body=bytes(row["body"]), failures=row["failures"])
