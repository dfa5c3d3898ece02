"""Errors of the ledger and the model registry."""

from straightline.errors import StraightLineError


class LedgerUnavailable(StraightLineError):  # noqa: N818 - named like BrokerUnavailable
    """Postgres is unreachable or cannot do it now; a retry may succeed."""


class LedgerBusy(LedgerUnavailable):
    """The connection pool is exhausted; Postgres itself was not contacted."""


class CommitUncertain(LedgerUnavailable):
    """The connection was lost during a commit, so the change may have been recorded or not."""


class LedgerRefused(StraightLineError):  # noqa: N818
    """Postgres rejects this statement or row; a retry would fail again."""


class LedgerNotMigrated(StraightLineError):  # noqa: N818
    """The tables are missing or of another version."""


class RegistryRefused(StraightLineError):  # noqa: N818 - named like LedgerRefused
    """The change conflicts with what is deployed."""


class OtherDigest(RegistryRefused):
    """The version is already deployed with different content."""
