"""What can go wrong with the ledger, as part of StraightLine's one tree of errors."""

from straightline.errors import StraightLineError


class LedgerUnavailable(StraightLineError):  # noqa: N818 - named like BrokerUnavailable
    """Postgres cannot be reached or refuses work now; the same may succeed later."""


class LedgerBusy(LedgerUnavailable):
    """All connections that this process may have are in use: that tells nothing of Postgres."""


class CommitUncertain(LedgerUnavailable):
    """The connection was lost while a change was committed: it may stand, or not."""


class LedgerRefused(StraightLineError):  # noqa: N818
    """Postgres refuses this very statement or row; trying it again brings the same."""


class LedgerNotMigrated(StraightLineError):  # noqa: N818
    """The database lacks the tables, or has those of another version."""


class RegistryRefused(StraightLineError):  # noqa: N818 - named like LedgerRefused
    """What is asked of the registry does not fit what is deployed."""


class OtherDigest(RegistryRefused):
    """The version is deployed already, with another content."""
