"""Partitions of the request tables: one a day, created ahead and dropped when old.

A row belongs to the partition of the day on which its id was created. The default partition takes all other
rows: ids that are not version 7 UUIDs, and days without a partition. So writers never wait for a partition:
creating it later moves the rows.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, Table, text

from outcomes.db.translation import translated
from outcomes.schema.tables import BATCH_JOBS, DEAD_LETTERS, PARTITIONED, WEBHOOK_DELIVERIES
from outcomes.schema.uuid7_ranges import IdRange, day_range, lowest_id, missing_days, parse_bounds
from straightline.errors import ConfigurationError
from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

DAYS_AHEAD: Final = 14
MIN_DAYS_AHEAD: Final = 7
"""Partitions left at which more are created: each one costs a scan of the default partition."""
MIN_RETENTION: Final = timedelta(days=2)
"""A batch request may take a day, and its reconciliation some time more."""
DELETE_BATCH_SIZE: Final = 10_000
MAKE_PARTITION: Final = "make_partition(text, date)"
"""A database function that runs with the table owner's rights, so that its caller need not own the tables."""
PARTITION_LOCK_KEY: Final = 0x5354_4C50
"""Postgres advisory lock: its holder changes partitions."""

# Partitions of a table, with their bounds as text.
LIST_PARTITIONS: Final = text(
    """
    SELECT child.relname, pg_get_expr(child.relpartbound, child.oid)
    FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = to_regclass(:table)
    ORDER BY child.relname
    """
)
# Delete one portion of old rows; the name and the condition are put in place.
DELETE_PORTION: Final = """
    DELETE FROM "{table}" WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM "{table}" WHERE {condition} LIMIT {limit}
    ))
"""
_TIME_COLUMNS: Final = {
    "outcomes": "finished_at",
    "attempts": "finished_at",
    "duplicate_requests": "seen_at",
    "duplicate_outcomes": "finished_at",
    "placements": "placed_at",
}
"""The age of rows in default partitions, whose ids may have no time."""


class Retained(msgspec.Struct, frozen=True):
    """Deleted data: names of partitions, and the number of rows outside daily partitions."""

    partitions: list[str]
    rows: int


def create_ahead(engine: Engine, now: datetime, *, low: int = MIN_DAYS_AHEAD) -> int:
    """Create the partitions of today and the days ahead when fewer than `low` are left.

    Returns:
        The number of partitions created.

    Raises:
        LedgerUnavailable: not now, as when a lock was not available; partitions already created stay.
        LedgerNotMigrated: the tables are missing.
    """
    created, today = 0, now.astimezone(UTC).date()
    for table in PARTITIONED:
        with translated(), engine.begin() as connection:
            existing = [ids for _, ids in _partitions(connection, table)]
        if not missing_days(existing, today, low + 1):
            continue
        for day in missing_days(existing, today, DAYS_AHEAD + 1):
            with translated(), engine.begin() as connection:
                created += _create(connection, table, day)
    return created


def retain(engine: Engine, now: datetime, keep: timedelta) -> Retained:
    """Delete data older than `keep`: whole partitions, and old rows of default partitions and other tables.

    Raises:
        ConfigurationError: `keep` is too short.
        LedgerUnavailable: not now; what is deleted stays deleted, and another call does the rest.
        LedgerNotMigrated: the tables are missing.
    """
    if keep < MIN_RETENTION:
        raise ConfigurationError(
            f"retention too short: younger requests may be unfinished. Keep at least "
            f"{MIN_RETENTION.days} days"
        )
    before, dropped, rows = now - keep, [], 0
    for table in PARTITIONED:
        dropped += _drop_partitions(engine, table, lowest_id(before))
        condition = f"{_TIME_COLUMNS[table.name]} < :before"
        rows += sum(_delete(engine, f"{table.name}_default", condition, before))
    rows += sum(_delete(engine, DEAD_LETTERS.name, "last_at < :before", before))
    rows += sum(_delete(engine, BATCH_JOBS.name, "finished_at < :before", before))  # with their refusals
    delivered = "next_at IS NULL AND id < :before"
    rows += sum(_delete(engine, WEBHOOK_DELIVERIES.name, delivered, lowest_id(before)))
    return Retained(dropped, rows)


def _drop_partitions(engine: Engine, table: Table, before: str) -> list[str]:
    with translated(), engine.begin() as connection:
        old = [name for name, ids in _partitions(connection, table) if ids.high <= before]
    for name in old:
        with translated(), engine.begin() as connection:
            _lock(connection)
            connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{name}"')
    return old


def _partitions(connection: Connection, table: Table) -> list[tuple[str, IdRange]]:
    found = connection.execute(LIST_PARTITIONS, {"table": table.name})
    ranges = [(name, parse_bounds(bounds)) for name, bounds in found]
    return [(name, ids) for name, ids in ranges if ids is not None]


def _create(connection: Connection, table: Table, day: date) -> bool:
    _lock(connection)
    ids = day_range(day)
    if any(ids.overlaps(other) for _, other in _partitions(connection, table)):
        return False  # another process was faster
    statement = text("SELECT make_partition(:parent, :day)")
    moved = connection.execute(statement, {"parent": table.name, "day": day}).scalar_one()
    logger.info("partition_created", partition=f"{table.name}_{day:%Y%m%d}", rows_moved=moved)
    return True


def _delete(engine: Engine, table: str, condition: str, before: datetime | str) -> Iterator[int]:
    """Delete old rows in small transactions, so that none blocks others for long."""
    statement = text(DELETE_PORTION.format(table=table, condition=condition, limit=DELETE_BATCH_SIZE))
    while True:
        with translated(), engine.begin() as connection:
            count = connection.execute(statement, {"before": before}).rowcount
        yield count
        if count < DELETE_BATCH_SIZE:
            return


def _lock(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PARTITION_LOCK_KEY})
