"""Create the ledger: outcomes, attempts, repeated ids and duplicate outcomes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("request_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "model",
            sa.Text(),
            nullable=True,
            comment="as in the outcome, so that rates per model need no join",
        ),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.Column("rule", sa.SmallInteger(), nullable=True),
        sa.Column(
            "reason",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="why it was placed there: rule, thresholds, features, refusals",
        ),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wait", sa.Double(), nullable=True),
        sa.Column("service", sa.Double(), nullable=True),
        sa.Column("cold_start", sa.Double(), nullable=True),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "number", name=op.f("attempts_pkey")),
        comment="every placement that was tried for a recorded request",
    )
    op.create_index(
        "attempts_finished_at", "attempts", ["finished_at"], unique=False, postgresql_using="brin"
    )
    op.create_table(
        "outcomes",
        sa.Column("request_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("class", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("backend", sa.Text(), nullable=True, comment="which one answered or failed last"),
        sa.Column("attempts", sa.SmallInteger(), nullable=False, comment="how many placements were tried"),
        sa.Column(
            "rule",
            sa.SmallInteger(),
            nullable=True,
            comment="of the last placement; its full reason is in attempts",
        ),
        sa.Column(
            "f_t",
            sa.Double(),
            nullable=True,
            comment="requests per second of the model, at the last placement",
        ),
        sa.Column("r_d", sa.BigInteger(), nullable=True, comment="bytes of the input data"),
        sa.Column(
            "wait",
            sa.Double(),
            nullable=True,
            comment="of the last attempt: seconds between placement and start",
        ),
        sa.Column(
            "service",
            sa.Double(),
            nullable=True,
            comment="of the last attempt: seconds in the backend, cold start included",
        ),
        sa.Column(
            "cold_start",
            sa.Double(),
            nullable=True,
            comment="of the last attempt: seconds of service; null where warm",
        ),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "result",
            sa.LargeBinary(),
            nullable=True,
            comment="the V2 infer response, JSON in UTF-8, as it came",
        ),
        sa.Column(
            "result_ref",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="uri, size and sha256 where the result did not travel",
        ),
        sa.Column("cost", sa.Double(), nullable=True, comment="estimated, US dollars"),
        sa.Column("digest", sa.Text(), nullable=True, comment="of the request's content"),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('succeeded', 'failed', 'expired', 'cancelled', 'rejected')",
            name=op.f("outcomes_state"),
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("outcomes_pkey")),
        comment="the one final outcome of each request; the first that arrived stands",
    )
    op.create_index(
        "outcomes_batch_id",
        "outcomes",
        ["batch_id"],
        unique=False,
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_index(
        "outcomes_finished_at", "outcomes", ["finished_at"], unique=False, postgresql_using="brin"
    )
    op.create_table(
        "repeats",
        sa.Column("request_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column(
            "conflict", sa.Boolean(), nullable=False, comment="whether its content differed from the first"
        ),
        sa.PrimaryKeyConstraint("request_id", "seen_at", name=op.f("repeats_pkey")),
        comment="ids that a producer sent again",
    )
    op.create_table(
        "surplus",
        sa.Column("request_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "finished_at", name=op.f("surplus_pkey")),
        comment="outcomes of a second execution of a request; the same outcome delivered again is not here",
    )


def downgrade() -> None:
    op.drop_table("surplus")
    op.drop_table("repeats")
    op.drop_index("outcomes_finished_at", table_name="outcomes", postgresql_using="brin")
    op.drop_index(
        "outcomes_batch_id", table_name="outcomes", postgresql_where=sa.text("batch_id IS NOT NULL")
    )
    op.drop_table("outcomes")
    op.drop_index("attempts_finished_at", table_name="attempts", postgresql_using="brin")
    op.drop_table("attempts")
