"""Create submissions, so that any gateway can report an unfinished request."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "submissions",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it has ended in any case",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("submissions_pkey")),
        comment="requests that a gateway took, told of until they have ended; "
        "a crash of the server may empty it",
        prefixes=["UNLOGGED"],
    )
    op.create_index("submissions_until", "submissions", ["until"])


def downgrade() -> None:
    op.drop_table("submissions")
