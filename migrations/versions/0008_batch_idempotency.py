"""Add idempotency keys of batch jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "batch_jobs",
        sa.Column(
            "idempotency_key", sa.Text(), nullable=True, comment="with which it may be handed in again"
        ),
    )
    op.create_unique_constraint(
        op.f("batch_jobs_key_id_idempotency_key_key"), "batch_jobs", ["key_id", "idempotency_key"]
    )


def downgrade() -> None:
    op.drop_constraint(op.f("batch_jobs_key_id_idempotency_key_key"), "batch_jobs")
    op.drop_column("batch_jobs", "idempotency_key")
