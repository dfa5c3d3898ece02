"""Partition the tables by the time in their ids, and create placements and dead letters.

Existing rows are not moved: each table becomes the default partition of the new one.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES: Final = {
    "outcomes": ["finished_at", "batch_id"],
    "attempts": ["finished_at"],
    "repeats": [],
    "surplus": [],
}
"""Tables of 0001, with the suffixes of their index names."""


def upgrade() -> None:
    for name, indexes in TABLES.items():
        _rename(name, f"{name}_default", ["pkey", *indexes])
        op.execute(
            f"CREATE TABLE {name} (LIKE {name}_default INCLUDING ALL EXCLUDING INDEXES) "
            "PARTITION BY RANGE (request_id)"
        )
        op.execute(f"ALTER TABLE {name} ATTACH PARTITION {name}_default DEFAULT")
    _index_parents()
    for name in TABLES:
        op.execute(
            f"DO $$ BEGIN EXECUTE format('COMMENT ON TABLE {name} IS %L', "
            f"obj_description('{name}_default'::regclass)); END $$"
        )
    _create_placements()
    _create_dead_letters()


def downgrade() -> None:
    op.drop_table("dead_letters")
    op.drop_table("placements")
    for name, indexes in TABLES.items():
        op.execute(f"CREATE TABLE {name}_plain (LIKE {name} INCLUDING ALL)")
        op.execute(f"INSERT INTO {name}_plain SELECT * FROM {name}")  # noqa: S608 - our own names
        op.execute(f"DROP TABLE {name}")
        _unplain(name, indexes)


def _rename(name: str, to: str, ends: list[str]) -> None:
    op.execute(f"ALTER TABLE {name} RENAME TO {to}")
    for end in ends:
        op.execute(f"ALTER INDEX {name}_{end} RENAME TO {to}_{end}")


def _unplain(name: str, indexes: list[str]) -> None:
    _rename(f"{name}_plain", name, ["pkey"])
    for end in indexes:
        op.execute(f"ALTER INDEX {name}_plain_{end}_idx RENAME TO {name}_{end}")


def _index_parents() -> None:
    """Create the indexes of the new tables; each adopts the index of the default partition."""
    op.create_primary_key("outcomes_pkey", "outcomes", ["request_id"])
    op.create_primary_key("attempts_pkey", "attempts", ["request_id", "number"])
    op.create_primary_key("repeats_pkey", "repeats", ["request_id", "seen_at"])
    op.create_primary_key("surplus_pkey", "surplus", ["request_id", "finished_at"])
    for table in ("outcomes", "attempts"):
        op.create_index(f"{table}_finished_at", table, ["finished_at"], postgresql_using="brin")
    op.create_index(
        "outcomes_batch_id", "outcomes", ["batch_id"], postgresql_where=sa.text("batch_id IS NOT NULL")
    )


def _create_placements() -> None:
    op.create_table(
        "placements",
        sa.Column("task_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column(
            "part",
            sa.SmallInteger(),
            autoincrement=False,
            nullable=False,
            comment="of the placement, from 0",
        ),
        sa.Column("request_ids", sa.ARRAY(sa.Uuid(as_uuid=False)), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("class", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column(
            "attempt",
            sa.SmallInteger(),
            nullable=False,
            comment="which one this is for its requests, from 1",
        ),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "lease",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="until when the outcomes must have come",
        ),
        sa.Column(
            "replies",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="where the results are pushed, for those that asked",
        ),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the reconciler looks (again); null once all have their outcome",
        ),
        sa.Column(
            "looks",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="how often it found one missing",
        ),
        sa.PrimaryKeyConstraint("task_id", "part", name=op.f("placements_pkey")),
        comment="requests that were placed together, and share a lease",
        postgresql_partition_by="RANGE (task_id)",
    )
    op.create_index(
        "placements_due_at", "placements", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.execute("CREATE TABLE placements_default PARTITION OF placements DEFAULT")


def _create_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("digest", sa.Text(), nullable=False, comment="of where it died, why, and its bytes"),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False, comment="how often the same came"),
        sa.Column("queue", sa.Text(), nullable=True, comment="where it died"),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment="rejected, delivery_limit, ... as the broker says it, or refused",
        ),
        sa.Column("said", sa.Text(), nullable=True, comment="the sentence of who refused it"),
        sa.Column("type", sa.Text(), nullable=True, comment="AMQP property"),
        sa.Column("message_id", sa.Text(), nullable=True, comment="AMQP property"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes of the body"),
        sa.Column(
            "body",
            sa.LargeBinary(),
            nullable=True,
            comment="its beginning, where the settings say that it is kept",
        ),
        sa.Column("resolution", sa.Text(), nullable=False, comment="resolved, sent_again or kept"),
        sa.Column("requests", sa.ARRAY(sa.Uuid(as_uuid=False)), nullable=False, comment="whose it was"),
        sa.PrimaryKeyConstraint("digest", name=op.f("dead_letters_pkey")),
        comment="messages that nobody could work, and what became of them",
    )
    op.create_index("dead_letters_last_at", "dead_letters", ["last_at"])
