"""Create the model registry: deployed versions, aliases, changes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_versions",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="of its bundle"),
        sa.Column(
            "spec",
            postgresql.JSONB(),
            nullable=False,
            comment="tensors and limits; its backends are where it is in place",
        ),
        sa.Column("image", sa.Text(), nullable=True, comment="id of its container image"),
        sa.Column("function", sa.Text(), nullable=True, comment="name of its serverless function"),
        sa.Column("deployed_by", sa.Text(), nullable=False),
        sa.Column("deployed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("model", "version", name=op.f("model_versions_pkey")),
        comment="versions that are in place, side by side",
    )
    op.create_table(
        "model_aliases",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True, comment="the default; null where it was removed"),
        sa.Column("previous", sa.Text(), nullable=True, comment="the default before"),
        sa.Column("canary", sa.Text(), nullable=True, comment="what a share of the requests gets instead"),
        sa.Column("share", sa.Double(), server_default="0", nullable=False, comment="percent of them"),
        sa.PrimaryKeyConstraint("model", name=op.f("model_aliases_pkey")),
        comment="what a model's name means where no version is pinned",
    )
    op.create_table(
        "model_changes",
        sa.Column("revision", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("model_changes_pkey")),
        comment="who changed what; the last number is the registry's revision",
    )


def downgrade() -> None:
    op.drop_table("model_changes")
    op.drop_table("model_aliases")
    op.drop_table("model_versions")
