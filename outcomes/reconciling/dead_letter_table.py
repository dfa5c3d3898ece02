"""The table of dead letters: one row for each distinct message, with how it was resolved."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from outcomes.db.database import engine_for
from outcomes.db.sql_params import in_ids
from outcomes.db.translation import translated
from outcomes.messaging.delivery import Delivery
from outcomes.resolutions.dead_letter_cause import MAX_DETAIL_CHARS, DeadLetterCause
from outcomes.rows import sanitize
from outcomes.schema.tables import DEAD_LETTERS, OUTCOMES

MAX_REQUEST_IDS: Final = 1_000
"""Ids recorded of one dead letter."""

Disposition = Literal["resolved", "sent_again", "kept"]
"""Its requests have outcomes; it was sent to the recorder again; or it could not be interpreted."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `outcomes.schema.tables.DEAD_LETTERS`; see the comments there."""

    digest: str
    first_at: datetime
    last_at: datetime
    times: int
    queue: str | None
    reason: str
    said: str | None
    type: str | None
    message_id: str | None
    size: int
    body: bytes | None
    resolution: Disposition
    requests: list[str]


class DeadLetterTable:
    """Writes dead letters, for the reconciler.

    Args:
        url: `postgresql+psycopg2://user:password@host:port/database`.
        body_bytes: bytes of a body to store; 0 by default, as it holds a producer's data.

    Raises:
        ConfigurationError: the URL is invalid.
    """

    def __init__(self, url: str, *, body_bytes: int) -> None:
        self._engine = engine_for(
            url, name="straightline-reconciler-dead", statement_timeout=30.0, lock_timeout=5.0
        )
        self._body_bytes = body_bytes

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def finished_ids(self, request_ids: Iterable[str]) -> set[str]:
        """Return the ids that have an outcome.

        Raises:
            LedgerUnavailable, LedgerNotMigrated: see `outcomes.db.translation`.
        """
        ids = set(request_ids)
        if not ids:
            return set()
        with translated(), self._engine.connect() as connection:
            found = select(OUTCOMES.c.request_id).where(in_ids(OUTCOMES.c.request_id, ids))
            return set(connection.execute(found).scalars())

    def record(self, letter: DeadLetter) -> None:
        """Insert a dead letter, or count it if it is there already.

        Raises:
            LedgerUnavailable, LedgerNotMigrated: see `outcomes.db.translation`.
        """
        values = msgspec.structs.asdict(letter) | {
            "body": None if letter.body is None or not self._body_bytes else letter.body[: self._body_bytes]
        }
        known = insert(DEAD_LETTERS).values(values)
        update = known.on_conflict_do_update(
            index_elements=[DEAD_LETTERS.c.digest],
            set_={
                "times": DEAD_LETTERS.c.times + 1,
                "last_at": func.greatest(DEAD_LETTERS.c.last_at, known.excluded.last_at),
                "resolution": known.excluded.resolution,
            },
        )
        with translated(), self._engine.begin() as connection:
            connection.execute(update)


def dead_letter_row(
    delivery: Delivery, cause: DeadLetterCause, disposition: Disposition, requests: Sequence[str], now: float
) -> DeadLetter:
    """Build the row of a dead letter."""
    content = hashlib.blake2b(f"{cause.queue}\0{cause.reason}\0{delivery.type}\0".encode(), digest_size=16)
    content.update(delivery.body)
    at = datetime.fromtimestamp(now, UTC)
    message_id = delivery.properties.message_id
    return DeadLetter(
        digest=content.hexdigest(),
        first_at=at,
        last_at=at,
        times=1,
        queue=sanitize.text(cause.queue),
        reason=sanitize.text(cause.reason) or "unknown",
        said=sanitize.text(cause.detail and cause.detail[:MAX_DETAIL_CHARS]),
        type=sanitize.text(delivery.type if isinstance(delivery.type, str) else None),
        message_id=sanitize.text(message_id if isinstance(message_id, str) else None),
        size=len(delivery.body),
        body=delivery.body,
        resolution=disposition,
        requests=list(requests[:MAX_REQUEST_IDS]),
    )


def dead_letters(connection: Connection, since: datetime, *, limit: int) -> list[DeadLetter]:
    """Return dead letters that arrived since `since`, which has a time zone, latest first.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: see `outcomes.db.translation`.
    """
    query: Any = (
        select(DEAD_LETTERS)
        .where(DEAD_LETTERS.c.last_at >= since)
        .order_by(DEAD_LETTERS.c.last_at.desc())
        .limit(limit)
    )
    with translated():
        rows = connection.execute(query).mappings()
        return [
            DeadLetter(**{**row, "body": None if row["body"] is None else bytes(row["body"])}) for row in rows
        ]
