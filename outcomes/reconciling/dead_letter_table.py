"""The table of dead letters, and what is asked of it."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from outcomes.db.database import engine_for, translated
from outcomes.db.sql_params import in_ids
from outcomes.resolutions.dead_letter_parser import MAX_DETAIL_CHARS, DeadLetterCause
from outcomes.rows import sanitize
from outcomes.rows.decoding import Delivery
from outcomes.schema.tables import DEAD_LETTERS, OUTCOMES

MAX_REQUEST_IDS: Final = 1_000
"""Ids that are noted of one dead letter."""

Disposition = Literal["resolved", "sent_again", "kept"]
"""Its requests have their outcomes; it was sent to the recorder once more; nothing could be made of it."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that nobody could work; columns as in `outcomes.schema.tables`."""

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
    """The dead letters as the reconciler uses them.

    Args:
        url: `postgresql+psycopg2://user:password@host:port/database`.
        kept: bytes of a body that are kept: none but by choice, for it holds what a producer sent.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(self, url: str, *, kept: int) -> None:
        self._engine = engine_for(
            url, name="straightline-reconciler-dead", statement_timeout=30.0, lock_timeout=5.0
        )
        self._kept = kept

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def standing(self, request_ids: Iterable[str]) -> set[str]:
        """Return those of the ids that have an outcome.

        Raises:
            LedgerUnavailable, LedgerNotMigrated: as `outcomes.db.database` says.
        """
        ids = set(request_ids)
        if not ids:
            return set()
        with translated(), self._engine.connect() as connection:
            found = select(OUTCOMES.c.request_id).where(in_ids(OUTCOMES.c.request_id, ids))
            return set(connection.execute(found).scalars())

    def note(self, letter: DeadLetter) -> None:
        """Keep a dead letter; one that came before is counted.

        Raises:
            LedgerUnavailable, LedgerNotMigrated: as `outcomes.db.database` says.
        """
        values = msgspec.structs.asdict(letter) | {
            "body": None if letter.body is None or not self._kept else letter.body[: self._kept]
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
    delivery: Delivery, death: DeadLetterCause, resolution: Disposition, requests: Sequence[str], now: float
) -> DeadLetter:
    """Make the row of a dead letter; pure."""
    content = hashlib.blake2b(f"{death.queue}\0{death.reason}\0{delivery.type}\0".encode(), digest_size=16)
    content.update(delivery.body)
    at = datetime.fromtimestamp(now, UTC)
    message_id = delivery.properties.message_id
    return DeadLetter(
        digest=content.hexdigest(),
        first_at=at,
        last_at=at,
        times=1,
        queue=sanitize.text(death.queue),
        reason=sanitize.text(death.reason) or "unknown",
        said=sanitize.text(death.said and death.said[:MAX_DETAIL_CHARS]),
        type=sanitize.text(delivery.type if isinstance(delivery.type, str) else None),
        message_id=sanitize.text(message_id if isinstance(message_id, str) else None),
        size=len(delivery.body),
        body=delivery.body,
        resolution=resolution,
        requests=list(requests[:MAX_REQUEST_IDS]),
    )


def dead_letters(connection: Connection, since: datetime, *, most: int) -> list[DeadLetter]:
    """Return the dead letters that came since a time with a time zone, the last one first.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: as `outcomes.db.database` says.
    """
    query: Any = (
        select(DEAD_LETTERS)
        .where(DEAD_LETTERS.c.last_at >= since)
        .order_by(DEAD_LETTERS.c.last_at.desc())
        .limit(most)
    )
    with translated():
        rows = connection.execute(query).mappings()
        return [
            DeadLetter(**{**row, "body": None if row["body"] is None else bytes(row["body"])}) for row in rows
        ]
