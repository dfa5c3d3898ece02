"""Create batch jobs submitted over HTTP."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch_jobs",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False, comment="the batch_id of its requests"),
        sa.Column("key_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False, comment="of its lines in the store"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="of them, bytes"),
        sa.Column(
            "defaults",
            postgresql.JSONB(),
            nullable=False,
            comment="for lines that do not say it themselves",
        ),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("cancelling", sa.Boolean(), server_default="false", nullable=False),
        sa.Column(
            "line", sa.BigInteger(), server_default="1", nullable=False, comment="all before it are done"
        ),
        sa.Column("at", sa.BigInteger(), server_default="0", nullable=False, comment="its first byte"),
        sa.Column(
            "read_up_to",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="last line that was read",
        ),
        sa.Column(
            "lines", sa.BigInteger(), nullable=True, comment="with something in them, once all were read"
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="why it could not be run"),
        sa.Column("owner", sa.Uuid(as_uuid=False), nullable=True, comment="who runs it"),
        sa.Column("lease", sa.DateTime(timezone=True), nullable=True, comment="until when"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'cancelled', 'failed')", name=op.f("batch_jobs_state")
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["api_keys.id"], name=op.f("batch_jobs_key_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("batch_jobs_pkey")),
        comment="files of requests that were handed in over HTTP",
    )
    op.create_index(
        "batch_jobs_created_at",
        "batch_jobs",
        ["created_at"],
        postgresql_where=sa.text("state IN ('waiting', 'running')"),
    )
    op.create_table(
        "batch_refusals",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("error_class", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["batch_jobs.id"], name=op.f("batch_refusals_job_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "line", name=op.f("batch_refusals_pkey")),
        comment="lines of batch jobs that were no requests",
    )


def downgrade() -> None:
    op.drop_table("batch_refusals")
    op.drop_table("batch_jobs")
