"""Rename repeats, surplus and placements.looks to duplicate_requests, duplicate_outcomes and checks.

Rows, indexes, grants and partitions stay; only names change. A recorder of the previous version finds its
tables missing, treats the database as not migrated, and holds its messages until it is replaced.
"""

from collections.abc import Iterable
from typing import Final

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

LOCK_TIMEOUT: Final = "5s"
"""A rename waits for running statements on the table, and later statements queue behind it."""
NAMES: Final = {"repeats": "duplicate_requests", "surplus": "duplicate_outcomes"}

# Partitions and indexes begin with the name of their table.
_RENAME: Final = """
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT relname::text FROM pg_partition_tree('{old}') JOIN pg_class ON oid = relid ORDER BY level
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', name, regexp_replace(name, '^{old}', '{new}'));
    END LOOP;
    FOR name IN
        SELECT relname::text FROM pg_partition_tree('{new}')
        JOIN pg_index ON indrelid = relid JOIN pg_class ON oid = indexrelid
        WHERE starts_with(relname, '{old}_')
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', name, regexp_replace(name, '^{old}', '{new}'));
    END LOOP;
END $$
"""

# Edit the function's own definition, so that its schema, owner and grants stay.
_EDIT_FUNCTION: Final = """
DO $$
DECLARE
    body text := pg_get_functiondef('make_partition(text, date)'::regprocedure);
    edited text := replace(body, '{old}', '{new}');
BEGIN
    IF edited = body THEN
        RAISE EXCEPTION 'make_partition does not name the tables {old}';
    END IF;
    EXECUTE edited;
END $$
"""


def upgrade() -> None:
    _rename(NAMES)
    op.alter_column("placements", "looks", new_column_name="checks")


def downgrade() -> None:
    _rename({new: old for old, new in NAMES.items()})
    op.alter_column("placements", "checks", new_column_name="looks")


def _rename(names: dict[str, str]) -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    for old, new in names.items():
        op.execute(_RENAME.format(old=old, new=new))
    op.execute(_EDIT_FUNCTION.format(old=_listed(names), new=_listed(names.values())))


def _listed(names: Iterable[str]) -> str:
    """Quote names as in the function's list, inside an SQL literal."""
    return ", ".join(f"''{name}''" for name in names)
