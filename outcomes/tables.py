"""The ledger's tables.

Times are `timestamptz`, durations seconds, sizes bytes, costs US dollars.

Three choices that the columns do not tell:

- `result` is `bytea` and holds the JSON exactly as the backend gave it. As `jsonb` a NUL or a lone surrogate
  in one answer would make the row unwritable, and a repeated request would not get the very same answer.
  `convert_from(result, 'UTF8')::jsonb` reads it in SQL.
- The windows are found through BRIN indexes: rows arrive in the order of their times, near enough, and such
  an index costs an insert almost nothing.
- `attempts` has no foreign key. Both tables are only ever written together, in one transaction, and the check
  would cost one look-up per row.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

METADATA: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s",
        "ix": "%(table_name)s_%(column_0_N_name)s",
    }
)

_TIME: Final = DateTime(timezone=True)

OUTCOMES: Final = Table(
    "outcomes",
    METADATA,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("state", Text, nullable=False),
    Column("model", Text),
    Column("version", Text),
    Column("class", Text),
    Column("batch_id", Text),
    Column("backend", Text, comment="which one answered or failed last"),
    Column("attempts", SmallInteger, nullable=False, comment="how many placements were tried"),
    Column("rule", SmallInteger, comment="of the last placement; its full reason is in attempts"),
    Column("f_t", Double, comment="requests per second of the model, at the last placement"),
    Column("r_d", BigInteger, comment="bytes of the input data"),
    Column("wait", Double, comment="of the last attempt: seconds between placement and start"),
    Column("service", Double, comment="of the last attempt: seconds in the backend, cold start included"),
    Column("cold_start", Double, comment="of the last attempt: seconds of service; null where warm"),
    Column("error_class", Text),
    Column("error", Text),
    Column("result", LargeBinary, comment="the V2 infer response, JSON in UTF-8, as it came"),
    Column("result_ref", JSONB, comment="uri, size and sha256 where the result did not travel"),
    Column("cost", Double, comment="estimated, US dollars"),
    Column("digest", Text, comment="of the request's content"),
    Column("submitted_at", _TIME),
    Column("received_at", _TIME),
    Column("finished_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=func.now()),
    CheckConstraint("state IN ('succeeded', 'failed', 'expired', 'cancelled', 'rejected')", name="state"),
    comment="the one final outcome of each request; the first that arrived stands",
)
Index("outcomes_finished_at", OUTCOMES.c.finished_at, postgresql_using="brin")
Index("outcomes_batch_id", OUTCOMES.c.batch_id, postgresql_where=OUTCOMES.c.batch_id.is_not(None))

ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("model", Text, comment="as in the outcome, so that rates per model need no join"),
    Column("backend", Text, nullable=False),
    Column("worker", Text),
    Column("succeeded", Boolean, nullable=False),
    Column("rule", SmallInteger),
    Column("reason", JSONB, comment="why it was placed there: rule, thresholds, features, refusals"),
    Column("placed_at", _TIME),
    Column("started_at", _TIME),
    Column("finished_at", _TIME, nullable=False),
    Column("wait", Double),
    Column("service", Double),
    Column("cold_start", Double),
    Column("error_class", Text),
    Column("error", Text),
    comment="every placement that was tried for a recorded request",
)
Index("attempts_finished_at", ATTEMPTS.c.finished_at, postgresql_using="brin")

REPEATS: Final = Table(
    "repeats",
    METADATA,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("seen_at", _TIME, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("conflict", Boolean, nullable=False, comment="whether its content differed from the first"),
    comment="ids that a producer sent again",
)

SURPLUS: Final = Table(
    "surplus",
    METADATA,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("finished_at", _TIME, primary_key=True),
    Column("state", Text, nullable=False),
    Column("backend", Text),
    Column("recorded_at", _TIME, nullable=False, server_default=func.now()),
    comment="outcomes of a second execution of a request; the same outcome delivered again is not here",
)
