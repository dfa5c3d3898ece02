"""Create partitions through a function with its owner's rights, so that callers need not own the tables."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A version 7 UUID begins with the milliseconds since 1970 in UTC.
_FUNCTION = """
CREATE FUNCTION make_partition(parent text, day date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    name text := parent || '_' || to_char(day, 'YYYYMMDD');
    fallback text := parent || '_default';
    key text := CASE parent WHEN 'placements' THEN 'task_id' ELSE 'request_id' END;
    low uuid := (lpad(to_hex((extract(epoch FROM day::timestamp) * 1000)::bigint), 12, '0')
        || repeat('0', 20))::uuid;
    high uuid := (lpad(to_hex((extract(epoch FROM (day + 1)::timestamp) * 1000)::bigint), 12, '0')
        || repeat('0', 20))::uuid;
    waiting boolean;
    moved bigint;
BEGIN
    IF parent NOT IN ('outcomes', 'attempts', 'repeats', 'surplus', 'placements') THEN
        RAISE insufficient_privilege USING MESSAGE = 'no partitions of that table are made here';
    END IF;
    -- A query planned without the new partition would miss its rows: lock readers out while rows move.
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I >= $1 AND %I < $2)', fallback, key, key)
        INTO waiting USING low, high;
    IF waiting THEN
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent);
    END IF;
    -- Attach it: creating it as a partition would wait for, and block, every statement on the table.
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', fallback);
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE %I >= $1 AND %I < $2 RETURNING *)'
        ' INSERT INTO %I SELECT * FROM moved', fallback, key, key, name) USING low, high;
    GET DIAGNOSTICS moved = ROW_COUNT;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        parent, name, low, high);
    RETURN moved;
END $$
"""


def upgrade() -> None:
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    op.execute(_FUNCTION.replace("{schema}", schema))
    op.execute("REVOKE ALL ON FUNCTION make_partition(text, date) FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION make_partition(text, date)")
