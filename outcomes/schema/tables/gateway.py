"""Tables of the HTTP gateway: API keys, webhooks, batch jobs."""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from outcomes.schema.tables.metadata import METADATA, TIME

API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True, comment="SHA-256 of the key, hexadecimal"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", TIME, nullable=False, server_default=func.now()),
    Column("expires_at", TIME),
    Column("revoked_at", TIME),
    comment="API keys of the HTTP gateway; only the digest of a key is stored",
)

WEBHOOKS: Final = Table(
    "webhooks",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("key_id", Uuid(as_uuid=False), ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("created_at", TIME, nullable=False, server_default=func.now()),
    comment="URLs notified when a key owner's requests end",
)

WEBHOOK_DELIVERIES: Final = Table(
    "webhook_deliveries",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True, comment="message id, the same at each try"),
    Column("webhook_id", Uuid(as_uuid=False), ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column(
        "request_id",
        Uuid(as_uuid=False),
        nullable=False,
        comment="id of the request or batch job that ended",
    ),
    Column("body", LargeBinary, nullable=False),
    Column("failures", SmallInteger, nullable=False, server_default="0"),
    Column("error", Text),
    Column(
        "next_at",
        TIME,
        server_default=func.now(),
        comment="time of the next try; null once delivered or given up",
    ),
    Column("delivered_at", TIME),
    UniqueConstraint("webhook_id", "request_id"),
    comment="notifications sent or to be sent to webhooks",
)
Index(
    "webhook_deliveries_next_at",
    WEBHOOK_DELIVERIES.c.next_at,
    postgresql_where=WEBHOOK_DELIVERIES.c.next_at.is_not(None),
)

BATCH_JOBS: Final = Table(
    "batch_jobs",
    METADATA,
    Column("id", Uuid(as_uuid=False), primary_key=True, comment="batch_id of its requests"),
    Column("key_id", Uuid(as_uuid=False), ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    Column("uri", Text, nullable=False, comment="its lines in the store"),
    Column("size", BigInteger, nullable=False, comment="bytes of its lines"),
    Column("defaults", JSONB, nullable=False, comment="values for lines that omit them"),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("cancelling", Boolean, nullable=False, server_default="false"),
    Column("line", BigInteger, nullable=False, server_default="1", comment="first line that is not done"),
    Column("at", BigInteger, nullable=False, server_default="0", comment="byte offset of that line"),
    Column("read_up_to", BigInteger, nullable=False, server_default="0", comment="last line read"),
    Column("lines", BigInteger, comment="number of non-empty lines, once all are read"),
    Column("error", Text, comment="why it could not run"),
    Column("owner", Uuid(as_uuid=False), comment="process that runs it"),
    Column("lease", TIME, comment="time until which the owner holds it"),
    Column("created_at", TIME, nullable=False, server_default=func.now()),
    Column("finished_at", TIME),
    Column("idempotency_key", Text, comment="key under which a repeated submission returns this job"),
    Column("webhook_id", Uuid(as_uuid=False), comment="webhook notified of its end; may have been removed"),
    UniqueConstraint("key_id", "idempotency_key"),
    CheckConstraint("state IN ('waiting', 'running', 'done', 'cancelled', 'failed')", name="state"),
    comment="files of requests submitted over HTTP",
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
    comment="lines of batch jobs that are not valid requests",
)
