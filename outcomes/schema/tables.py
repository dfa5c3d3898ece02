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
- All but `dead_letters` are partitioned by the time that stands in an id of version 7, so that the key
  remains the id alone and whole days can be dropped (`partitions.py`). Ids without such a time, and
  those of days without a partition, are in the default one.
"""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

METADATA: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s",
    }
)

_TIME: Final = DateTime(timezone=True)
_BY_REQUEST: Final = "RANGE (request_id)"

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
    postgresql_partition_by=_BY_REQUEST,
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
    postgresql_partition_by=_BY_REQUEST,
)
Index("attempts_finished_at", ATTEMPTS.c.finished_at, postgresql_using="brin")

DUPLICATE_REQUESTS: Final = Table(
    "duplicate_requests",
    METADATA,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("seen_at", _TIME, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("conflict", Boolean, nullable=False, comment="whether its content differed from the first"),
    comment="ids that a producer sent again",
    postgresql_partition_by=_BY_REQUEST,
)

DUPLICATE_OUTCOMES: Final = Table(
    "duplicate_outcomes",
    METADATA,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("finished_at", _TIME, primary_key=True),
    Column("state", Text, nullable=False),
    Column("backend", Text),
    Column("recorded_at", _TIME, nullable=False, server_default=func.now()),
    comment="outcomes of a second execution of a request; the same outcome delivered again is not here",
    postgresql_partition_by=_BY_REQUEST,
)

PLACEMENTS: Final = Table(
    "placements",
    METADATA,
    Column("task_id", Uuid(as_uuid=False), primary_key=True),
    Column("part", SmallInteger, primary_key=True, autoincrement=False, comment="of the placement, from 0"),
    Column("request_ids", ARRAY(Uuid(as_uuid=False)), nullable=False),
    Column("backend", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text),
    Column("class", Text),
    Column("batch_id", Text),
    Column("attempt", SmallInteger, nullable=False, comment="which one this is for its requests, from 1"),
    Column("placed_at", _TIME, nullable=False),
    Column("lease", _TIME, nullable=False, comment="until when the outcomes must have come"),
    Column("replies", JSONB, comment="where the results are pushed, for those that asked"),
    Column("due_at", _TIME, comment="when the reconciler looks (again); null once all have their outcome"),
    Column(
        "checks", SmallInteger, nullable=False, server_default="0", comment="how often it found one missing"
    ),
    comment="requests that were placed together, and share a lease",
    postgresql_partition_by="RANGE (task_id)",
)
Index("placements_due_at", PLACEMENTS.c.due_at, postgresql_where=PLACEMENTS.c.due_at.is_not(None))

DEAD_LETTERS: Final = Table(
    "dead_letters",
    METADATA,
    Column("digest", Text, primary_key=True, comment="of where it died, why, and its bytes"),
    Column("first_at", _TIME, nullable=False),
    Column("last_at", _TIME, nullable=False),
    Column("times", BigInteger, nullable=False, comment="how often the same came"),
    Column("queue", Text, comment="where it died"),
    Column(
        "reason",
        Text,
        nullable=False,
        comment="rejected, delivery_limit, ... as the broker says it, or refused",
    ),
    Column("said", Text, comment="the sentence of who refused it"),
    Column("type", Text, comment="AMQP property"),
    Column("message_id", Text, comment="AMQP property"),
    Column("size", BigInteger, nullable=False, comment="bytes of the body"),
    Column("body", LargeBinary, comment="its beginning, where the settings say that it is kept"),
    Column("resolution", Text, nullable=False, comment="resolved, sent_again or kept"),
    Column("requests", ARRAY(Uuid(as_uuid=False)), nullable=False, comment="whose it was"),
    comment="messages that nobody could work, and what became of them",
)
Index("dead_letters_last_at", DEAD_LETTERS.c.last_at)

SUBMISSIONS: Final = Table(
    "submissions",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("model", Text, nullable=False),
    Column("submitted_at", _TIME, nullable=False),
    Column("deadline", _TIME),
    Column("until", _TIME, nullable=False, comment="when it has ended in any case"),
    Column("digest", Text, comment="of the request's content, where the caller named it"),
    comment="requests that a gateway took, told of until they have ended; a crash of the server may empty it",
    prefixes=["UNLOGGED"],
)
Index("submissions_until", SUBMISSIONS.c.until)

PARTITIONED: Final[tuple[Table, ...]] = (
    OUTCOMES,
    ATTEMPTS,
    DUPLICATE_REQUESTS,
    DUPLICATE_OUTCOMES,
    PLACEMENTS,
)

API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True, comment="SHA-256 of the key, in hexadecimal"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=func.now()),
    Column("expires_at", _TIME),
    Column("revoked_at", _TIME),
    comment="who may call the HTTP gateway; a key itself is nowhere kept",
)

WEBHOOKS: Final = Table(
    "webhooks",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("key_id", Uuid(as_uuid=False), ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=func.now()),
    comment="where the owner of a key is told that a request has ended",
)

WEBHOOK_DELIVERIES: Final = Table(
    "webhook_deliveries",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True, comment="the message's, at each try"),
    Column("webhook_id", Uuid(as_uuid=False), ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column(
        "request_id",
        Uuid(as_uuid=False),
        nullable=False,
        comment="whose end it tells of; a batch job's id where it is one's",
    ),
    Column("body", LargeBinary, nullable=False),
    Column("failures", SmallInteger, nullable=False, server_default="0"),
    Column("error", Text),
    Column(
        "next_at",
        _TIME,
        server_default=func.now(),
        comment="of the next try; null where it is done, or given up",
    ),
    Column("delivered_at", _TIME),
    UniqueConstraint("webhook_id", "request_id"),
    comment="what a webhook was told, or is to be told",
)
Index(
    "webhook_deliveries_next_at",
    WEBHOOK_DELIVERIES.c.next_at,
    postgresql_where=WEBHOOK_DELIVERIES.c.next_at.is_not(None),
)

BATCH_JOBS: Final = Table(
    "batch_jobs",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True, comment="the batch_id of its requests"),
    Column("key_id", Uuid(as_uuid=False), ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    Column("uri", Text, nullable=False, comment="of its lines in the store"),
    Column("size", BigInteger, nullable=False, comment="of them, bytes"),
    Column("defaults", JSONB, nullable=False, comment="for lines that do not say it themselves"),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("cancelling", Boolean, nullable=False, server_default="false"),
    Column("line", BigInteger, nullable=False, server_default="1", comment="all before it are done"),
    Column("at", BigInteger, nullable=False, server_default="0", comment="its first byte"),
    Column("read_up_to", BigInteger, nullable=False, server_default="0", comment="last line that was read"),
    Column("lines", BigInteger, comment="with something in them, once all were read"),
    Column("error", Text, comment="why it could not be run"),
    Column("owner", Uuid(as_uuid=False), comment="who runs it"),
    Column("lease", _TIME, comment="until when"),
    Column("created_at", _TIME, nullable=False, server_default=func.now()),
    Column("finished_at", _TIME),
    Column("idempotency_key", Text, comment="with which it may be handed in again"),
    Column("webhook_id", Uuid(as_uuid=False), comment="to be told of its end; may be removed before"),
    UniqueConstraint("key_id", "idempotency_key"),
    CheckConstraint("state IN ('waiting', 'running', 'done', 'cancelled', 'failed')", name="state"),
    comment="files of requests that were handed in over HTTP",
)
Index(
    "batch_jobs_created_at",
    BATCH_JOBS.c.created_at,
    postgresql_where=BATCH_JOBS.c.state.in_(("waiting", "running")),
)

BATCH_REFUSALS: Final = Table(
    "batch_refusals",
    METADATA,
    Column("job_id", Uuid(as_uuid=False), ForeignKey("batch_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("line", BigInteger, primary_key=True, autoincrement=False),
    Column("error_class", Text, nullable=False),
    Column("error", Text, nullable=False),
    comment="lines of batch jobs that were no requests",
)

MODEL_VERSIONS: Final = Table(
    "model_versions",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("digest", Text, nullable=False, comment="of its bundle"),
    Column(
        "spec", JSONB, nullable=False, comment="tensors and limits; its backends are where it is in place"
    ),
    Column("image", Text, comment="id of its container image"),
    Column("function", Text, comment="name of its serverless function"),
    Column("deployed_by", Text, nullable=False),
    Column("deployed_at", _TIME, nullable=False, server_default=func.now()),
    comment="versions that are in place, side by side",
)

MODEL_ALIASES: Final = Table(
    "model_aliases",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("version", Text, comment="the default; null where it was removed"),
    Column("previous", Text, comment="the default before"),
    Column("canary", Text, comment="what a share of the requests gets instead"),
    Column("share", Double, nullable=False, server_default="0", comment="percent of them"),
    comment="what a model's name means where no version is pinned",
)

MODEL_CHANGES: Final = Table(
    "model_changes",
    METADATA,
    Column("revision", BigInteger, Identity(always=False), primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Text),
    Column("action", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", _TIME, nullable=False, server_default=func.now()),
    comment="who changed what; the last number is the registry's revision",
)
