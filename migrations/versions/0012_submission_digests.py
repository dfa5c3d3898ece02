"""Store the content digest of submissions, so that a gateway rejects other content under a known id."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "submissions",
        sa.Column(
            "digest",
            sa.Text(),
            nullable=True,
            comment="of the request's content, where the caller named it",
        ),
    )


def downgrade() -> None:
    op.drop_column("submissions", "digest")
