"""State the comments of tables and columns in plain English."""

from typing import Final

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

LOCK_TIMEOUT: Final = "5s"

TABLES: Final = {
    "outcomes": "final outcome of each request; the first that arrives wins",
    "attempts": "every placement tried for a recorded request",
    "duplicate_requests": "request ids submitted again",
    "duplicate_outcomes": "outcomes of further executions of a request; a redelivered outcome is not one",
    "placements": "requests placed together, sharing a lease",
    "dead_letters": "dead letters and how each was resolved",
    "submissions": "requests accepted by a gateway and not finished; a server crash may empty it",
    "api_keys": "API keys of the HTTP gateway; only the digest of a key is stored",
    "webhooks": "URLs notified when a key owner's requests end",
    "webhook_deliveries": "notifications sent or to be sent to webhooks",
    "batch_jobs": "files of requests submitted over HTTP",
    "batch_refusals": "lines of batch jobs that are not valid requests",
    "model_versions": "deployed model versions",
    "model_aliases": "version that a model name resolves to without a pin",
    "model_changes": "log of changes; the last number is the registry's revision",
}

COLUMNS: Final = {
    ("outcomes", "backend"): "backend of the last attempt",
    ("outcomes", "attempts"): "number of placements tried",
    ("outcomes", "rule"): "rule of the last placement; its full reason is in attempts",
    ("outcomes", "f_t"): "requests per second of the model at the last placement",
    ("outcomes", "wait"): "last attempt: seconds from placement to start",
    ("outcomes", "service"): "last attempt: seconds in the backend, cold start included",
    ("outcomes", "cold_start"): "last attempt: seconds of cold start; null if warm",
    ("outcomes", "result"): "V2 infer response, the exact JSON bytes in UTF-8",
    ("outcomes", "result_ref"): "uri, size and sha256 of a result stored outside",
    ("outcomes", "cost"): "estimated cost, US dollars",
    ("outcomes", "digest"): "digest of the request's content",
    ("attempts", "model"): "copied from the outcome, so that rates per model need no join",
    ("duplicate_requests", "conflict"): "whether the content differed from the first submission",
    ("placements", "part"): "part of the placement, from 0",
    ("placements", "attempt"): "number of the attempt for its requests, from 1",
    ("placements", "lease"): "time by which the outcomes must have arrived",
    ("placements", "replies"): "reply addresses of the requests that have one",
    ("placements", "due_at"): "next check by the reconciler; null once all outcomes are recorded",
    ("placements", "checks"): "checks that found an outcome missing",
    ("dead_letters", "digest"): "digest of queue, reason, type and body",
    ("dead_letters", "times"): "number of times that the same message arrived",
    ("dead_letters", "queue"): "queue in which it died",
    (
        "dead_letters",
        "reason",
    ): "the broker's reason (rejected, delivery_limit, ...), or refused by a component",
    ("dead_letters", "said"): "explanation of the component that refused it",
    ("dead_letters", "body"): "start of the body, if the settings keep it",
    ("dead_letters", "requests"): "ids of its requests",
    ("submissions", "until"): "time by which the request has ended in any case",
    ("submissions", "digest"): "digest of the request's content, if the caller chose its id or key",
    ("api_keys", "digest"): "SHA-256 of the key, hexadecimal",
    ("webhook_deliveries", "id"): "message id, the same at each try",
    ("webhook_deliveries", "request_id"): "id of the request or batch job that ended",
    ("webhook_deliveries", "next_at"): "time of the next try; null once delivered or given up",
    ("batch_jobs", "id"): "batch_id of its requests",
    ("batch_jobs", "uri"): "its lines in the store",
    ("batch_jobs", "size"): "bytes of its lines",
    ("batch_jobs", "defaults"): "values for lines that omit them",
    ("batch_jobs", "line"): "first line that is not done",
    ("batch_jobs", "at"): "byte offset of that line",
    ("batch_jobs", "read_up_to"): "last line read",
    ("batch_jobs", "lines"): "number of non-empty lines, once all are read",
    ("batch_jobs", "error"): "why it could not run",
    ("batch_jobs", "owner"): "process that runs it",
    ("batch_jobs", "lease"): "time until which the owner holds it",
    ("batch_jobs", "idempotency_key"): "key under which a repeated submission returns this job",
    ("batch_jobs", "webhook_id"): "webhook notified of its end; may have been removed",
    ("model_versions", "digest"): "digest of its bundle",
    ("model_versions", "spec"): "tensors, limits and the backends that it is deployed on",
    ("model_aliases", "version"): "default version; null if removed",
    ("model_aliases", "previous"): "default version before it",
    ("model_aliases", "canary"): "version that gets a share of the requests",
    ("model_aliases", "share"): "percent of the requests that the canary gets",
}


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    for table, comment in TABLES.items():
        op.create_table_comment(table, comment)
    for (table, column), comment in COLUMNS.items():
        op.alter_column(table, column, comment=comment)


def downgrade() -> None:
    """Keep the comments: no code depends on them."""
