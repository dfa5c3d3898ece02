"""Exit codes of the commands that answer and return; for the same they are those of `straightline`."""

from typing import Final

from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from straightline.errors import BrokerUnavailable, ConfigurationError, ContractError, StraightLineError

FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3
NOT_KNOWN: Final = 5

EXIT_CODES: Final = """\
exit codes:
  0  done
  1  it could not be done otherwise; `record` and `reconcile`: could not start, or a part ended by itself
  2  wrong usage: an argument or a setting cannot be used
  3  the database cannot be reached, is not migrated, or does not let this role do it now
  5  there is no such key, or no outcome of this request yet
"""


def exit_code(error: StraightLineError) -> int:
    """Return the code for an error that ended a command."""
    if isinstance(error, LedgerUnavailable | LedgerNotMigrated | BrokerUnavailable):
        return UNAVAILABLE
    return USAGE if isinstance(error, ConfigurationError | ContractError) else FAILED
