"""Exit codes of the commands; where they mean the same, they equal those of `straightline`."""

from typing import Final

from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from straightline.errors import BrokerUnavailable, ConfigurationError, ContractError, StraightLineError

FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3
NOT_FOUND: Final = 5

EXIT_CODES: Final = """\
exit codes:
  0  success
  1  any other failure; `record` and `reconcile`: could not start, or a loop ended by itself
  2  wrong usage: invalid argument or setting
  3  the database is unreachable, not migrated, or denies this role access
  5  no such key, or no outcome of this request yet
"""


def exit_code(error: StraightLineError) -> int:
    """Return the exit code for an error that ended a command."""
    if isinstance(error, LedgerUnavailable | LedgerNotMigrated | BrokerUnavailable):
        return UNAVAILABLE
    return USAGE if isinstance(error, ConfigurationError | ContractError) else FAILED
