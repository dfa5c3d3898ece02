"""Partitions of the ledger's tables: made ahead, one a day, and dropped when they are old.

A request's rows lie in the partition of the day that its id was made on. The default partition takes all
others: ids that are no UUID of version 7, and days that have no partition. So nothing waits for this module:
what it comes too late for, it moves.
"""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, Table, text

from outcomes.db.translation import translated
from outcomes.schema.tables import BATCH_JOBS, DEAD_LETTERS, PARTITIONED, WEBHOOK_DELIVERIES
from outcomes.schema.uuid7_ranges import IdRange, day_range, lowest_id, missing_days, parse_bounds
from straightline.errors import ConfigurationError

logger = logging.getLogger(__name__)

DAYS_AHEAD: Final = 14
"""Days that have a partition before they begin."""
MIN_DAYS_AHEAD: Final = 7
"""Days ahead from which on more are made: each one costs a look through the default partition."""
MIN_RETENTION: Final = timedelta(days=2)
"""A batch request may take a day, and its reconciliation some time more."""
DELETE_BATCH_SIZE: Final = 10_000
MAKE_PARTITION: Final = "make_partition(text, date)"
"""A function of the database, with the rights of the tables' owner: not who calls it owns the tables."""
_LOCK: Final = 0x5354_4C50
"""Of Postgres's advisory locks: one process at a time changes partitions."""
_AGES: Final = {
    "outcomes": "finished_at",
    "attempts": "finished_at",
    "duplicate_requests": "seen_at",
    "duplicate_outcomes": "finished_at",
    "placements": "placed_at",
}
"""What tells the age of a row whose id has no time."""


class Retained(msgspec.Struct, frozen=True):
    """What was deleted: partitions by name, and rows that were in no partition of a day."""

    partitions: list[str]
    rows: int


def create_ahead(engine: Engine, now: datetime, *, low: int = MIN_DAYS_AHEAD) -> int:
    """Make the partitions of today and of the days to come, where fewer than `low` of them are there.

    Returns:
        How many were made.

    Raises:
        LedgerUnavailable: not now, as when a lock was not to be had; what is made already stays.
        LedgerNotMigrated: the tables are not there.
    """
    made, today = 0, now.astimezone(UTC).date()
    for table in PARTITIONED:
        with translated(), engine.begin() as connection:
            there = [span for _, span in _partitions(connection, table)]
        if not missing_days(there, today, low + 1):
            continue
        for day in missing_days(there, today, DAYS_AHEAD + 1):
            with translated(), engine.begin() as connection:
                made += _make(connection, table, day)
    return made


def retain(engine: Engine, now: datetime, keep: timedelta) -> Retained:
    """Delete what is older than `keep`: whole partitions, and the old rows of the default ones.

    Raises:
        ConfigurationError: `keep` is too short.
        LedgerUnavailable: not now; what is deleted already stays so, and the rest is for another call.
        LedgerNotMigrated: the tables are not there.
    """
    if keep < MIN_RETENTION:
        raise ConfigurationError(
            f"keep at least {MIN_RETENTION.days} days: younger requests may be under way"
        )
    before, dropped, rows = now - keep, [], 0
    for table in PARTITIONED:
        with translated(), engine.begin() as connection:
            old = [name for name, span in _partitions(connection, table) if span.high <= lowest_id(before)]
        for name in old:
            with translated(), engine.begin() as connection:
                _alone(connection)
                connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{name}"')
            dropped.append(name)
        rows += sum(_delete(engine, f"{table.name}_default", f"{_AGES[table.name]} < :before", before))
    rows += sum(_delete(engine, DEAD_LETTERS.name, "last_at < :before", before))
    rows += sum(_delete(engine, BATCH_JOBS.name, "finished_at < :before", before))  # with their refusals
    told = "next_at IS NULL AND id < :before"
    rows += sum(_delete(engine, WEBHOOK_DELIVERIES.name, told, lowest_id(before)))
    return Retained(dropped, rows)


def _partitions(connection: Connection, table: Table) -> list[tuple[str, IdRange]]:
    found = connection.execute(
        text(
            "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits"
            " JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = to_regclass(:table)"
            " ORDER BY child.relname"
        ),
        {"table": table.name},
    )
    spans = [(name, parse_bounds(bounds)) for name, bounds in found]
    return [(name, span) for name, span in spans if span is not None]


def _make(connection: Connection, table: Table, day: date) -> bool:
    _alone(connection)
    span = day_range(day)
    if any(span.meets(other) for _, other in _partitions(connection, table)):
        return False  # somebody was faster
    statement = text("SELECT make_partition(:parent, :day)")
    moved = connection.execute(statement, {"parent": table.name, "day": day}).scalar_one()
    name = f"{table.name}_{day:%Y%m%d}"
    logger.info("partition %s was made, and took %d rows", name, moved)
    return True


def _delete(engine: Engine, table: str, old: str, before: datetime | str) -> Iterator[int]:
    """Delete old rows, a portion in each transaction, so that none of them holds up others for long."""
    portion = text(
        f'DELETE FROM "{table}" WHERE ctid = ANY (ARRAY('  # noqa: S608 - our own names
        f'SELECT ctid FROM "{table}" WHERE {old} LIMIT {DELETE_BATCH_SIZE}))'
    )
    while True:
        with translated(), engine.begin() as connection:
            count = connection.execute(portion, {"before": before}).rowcount
        yield count
        if count < DELETE_BATCH_SIZE:
            return


def _alone(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
