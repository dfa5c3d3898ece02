"""Tables of the ledger.

Times are `timestamptz`, durations seconds, sizes bytes, costs US dollars.

- `result` is `bytea` and holds the backend's exact JSON. As `jsonb`, a NUL or a lone surrogate would make
  the row unwritable, and a repeated request would not get the identical answer. Read it in SQL with
  `convert_from(result, 'UTF8')::jsonb`.
- Time windows use BRIN indexes: rows arrive almost in time order, and such an index costs an insert almost
  nothing.
- `attempts` has no foreign key: both tables are only written together, in one transaction, and the check
  would cost one lookup per row.
- Tables of requests are partitioned by the time in a version 7 UUID, so that the key stays the id alone and
  whole days can be dropped (`outcomes.schema.partitions`). Ids without a time, and days without a
  partition, go to the default partition.
"""

from outcomes.schema.tables.gateway import (
    API_KEYS,
    BATCH_JOBS,
    BATCH_REFUSALS,
    WEBHOOK_DELIVERIES,
    WEBHOOKS,
)
from outcomes.schema.tables.metadata import METADATA
from outcomes.schema.tables.models import MODEL_ALIASES, MODEL_CHANGES, MODEL_VERSIONS
from outcomes.schema.tables.requests import (
    ATTEMPTS,
    DEAD_LETTERS,
    DUPLICATE_OUTCOMES,
    DUPLICATE_REQUESTS,
    OUTCOMES,
    PARTITIONED,
    PLACEMENTS,
    SUBMISSIONS,
)

__all__ = [
    "API_KEYS",
    "ATTEMPTS",
    "BATCH_JOBS",
    "BATCH_REFUSALS",
    "DEAD_LETTERS",
    "DUPLICATE_OUTCOMES",
    "DUPLICATE_REQUESTS",
    "METADATA",
    "MODEL_ALIASES",
    "MODEL_CHANGES",
    "MODEL_VERSIONS",
    "OUTCOMES",
    "PARTITIONED",
    "PLACEMENTS",
    "SUBMISSIONS",
    "WEBHOOKS",
    "WEBHOOK_DELIVERIES",
]
