"""Tables of what happened to requests."""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from outcomes.schema.tables.metadata import METADATA, TIME

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
    Column("backend", Text, comment="backend of the last attempt"),
    Column("attempts", SmallInteger, nullable=False, comment="number of placements tried"),
    Column("rule", SmallInteger, comment="rule of the last placement; its full reason is in attempts"),
    Column("f_t", Double, comment="requests per second of the model at the last placement"),
    Column("r_d", BigInteger, comment="bytes of the input data"),
    Column("wait", Double, comment="last attempt: seconds from placement to start"),
    Column("service", Double, comment="last attempt: seconds in the backend, cold start included"),
    Column("cold_start", Double, comment="last attempt: seconds of cold start; null if warm"),
    Column("error_class", Text),
    Column("error", Text),
    Column("result", LargeBinary, comment="V2 infer response, the exact JSON bytes in UTF-8"),
    Column("result_ref", JSONB, comment="uri, size and sha256 of a result stored outside"),
    Column("cost", Double, comment="estimated cost, US dollars"),
    Column("digest", Text, comment="digest of the request's content"),
    Column("submitted_at", TIME),
    Column("received_at", TIME),
    Column("finished_at", TIME, nullable=False),
    Column("recorded_at", TIME, nullable=False, server_default=func.now()),
    CheckConstraint("state IN ('succeeded', 'failed', 'expired', 'cancelled', 'rejected')", name="state"),
    comment="final outcome of each request; the first that arrives wins",
    postgresql_partition_by=_BY_REQUEST,
)
Index("outcomes_finished_at", OUTCOMES.c.finished_at, postgresql_using="brin")
Index("outcomes_batch_id", OUTCOMES.c.batch_id, postgresql_where=OUTCOMES.c.batch_id.is_not(None))

ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("model", Text, comment="copied from the outcome, so that rates per model need no join"),
    Column("backend", Text, nullable=False),
    Column("worker", Text),
    Column("succeeded", Boolean, nullable=False),
    Column("rule", SmallInteger),
    Column("reason", JSONB, comment="why it was placed there: rule, thresholds, features, refusals"),
    Column("placed_at", TIME),
    Column("started_at", TIME),
    Column("finished_at", TIME, nullable=False),
    Column("wait", Double),
    Column("service", Double),
    Column("cold_start", Double),
    Column("error_class", Text),
    Column("error", Text),
    comment="every placement tried for a recorded request",
    postgresql_partition_by=_BY_REQUEST,
)
Index("attempts_finished_at", ATTEMPTS.c.finished_at, postgresql_using="brin")

DUPLICATE_REQUESTS: Final = Table(
    "duplicate_requests",
    METADATA,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("seen_at", TIME, primary_key=True),
    Column("digest", Text, nullable=False),
    Column(
        "conflict", Boolean, nullable=False, comment="whether the content differed from the first submission"
    ),
    comment="request ids submitted again",
    postgresql_partition_by=_BY_REQUEST,
)

DUPLICATE_OUTCOMES: Final = Table(
    "duplicate_outcomes",
    METADATA,
    Column("request_id", Uuid(as_uuid=False), primary_key=True),
    Column("finished_at", TIME, primary_key=True),
    Column("state", Text, nullable=False),
    Column("backend", Text),
    Column("recorded_at", TIME, nullable=False, server_default=func.now()),
    comment="outcomes of further executions of a request; a redelivered outcome is not one",
    postgresql_partition_by=_BY_REQUEST,
)

PLACEMENTS: Final = Table(
    "placements",
    METADATA,
    Column("task_id", Uuid(as_uuid=False), primary_key=True),
    Column(
        "part", SmallInteger, primary_key=True, autoincrement=False, comment="part of the placement, from 0"
    ),
    Column("request_ids", ARRAY(Uuid(as_uuid=False)), nullable=False),
    Column("backend", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text),
    Column("class", Text),
    Column("batch_id", Text),
    Column("attempt", SmallInteger, nullable=False, comment="number of the attempt for its requests, from 1"),
    Column("placed_at", TIME, nullable=False),
    Column("lease", TIME, nullable=False, comment="time by which the outcomes must have arrived"),
    Column("replies", JSONB, comment="reply addresses of the requests that have one"),
    Column("due_at", TIME, comment="next check by the reconciler; null once all outcomes are recorded"),
    Column(
        "checks",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="checks that found an outcome missing",
    ),
    comment="requests placed together, sharing a lease",
    postgresql_partition_by="RANGE (task_id)",
)
Index("placements_due_at", PLACEMENTS.c.due_at, postgresql_where=PLACEMENTS.c.due_at.is_not(None))

DEAD_LETTERS: Final = Table(
    "dead_letters",
    METADATA,
    Column("digest", Text, primary_key=True, comment="digest of queue, reason, type and body"),
    Column("first_at", TIME, nullable=False),
    Column("last_at", TIME, nullable=False),
    Column("times", BigInteger, nullable=False, comment="number of times that the same message arrived"),
    Column("queue", Text, comment="queue in which it died"),
    Column(
        "reason",
        Text,
        nullable=False,
        comment="the broker's reason (rejected, delivery_limit, ...), or refused by a component",
    ),
    Column("said", Text, comment="explanation of the component that refused it"),
    Column("type", Text, comment="AMQP property"),
    Column("message_id", Text, comment="AMQP property"),
    Column("size", BigInteger, nullable=False, comment="bytes of the body"),
    Column("body", LargeBinary, comment="start of the body, if the settings keep it"),
    Column("resolution", Text, nullable=False, comment="resolved, sent_again or kept"),
    Column("requests", ARRAY(Uuid(as_uuid=False)), nullable=False, comment="ids of its requests"),
    comment="dead letters and how each was resolved",
)
Index("dead_letters_last_at", DEAD_LETTERS.c.last_at)

SUBMISSIONS: Final = Table(
    "submissions",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("model", Text, nullable=False),
    Column("submitted_at", TIME, nullable=False),
    Column("deadline", TIME),
    Column("until", TIME, nullable=False, comment="time by which the request has ended in any case"),
    Column("digest", Text, comment="digest of the request's content, if the caller chose its id or key"),
    comment="requests accepted by a gateway and not finished; a server crash may empty it",
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
