"""Notify a webhook of the end of a batch job."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "batch_jobs",
        sa.Column(
            "webhook_id",
            sa.Uuid(as_uuid=False),
            nullable=True,
            comment="to be told of its end; may be removed before",
        ),
    )
    op.alter_column(
        "webhook_deliveries",
        "request_id",
        comment="whose end it tells of; a batch job's id where it is one's",
    )


def downgrade() -> None:
    op.alter_column("webhook_deliveries", "request_id", comment=None)
    op.drop_column("batch_jobs", "webhook_id")
