"""Exit codes, a stable interface for scripts."""

from typing import Final

from straightline.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ContractError,
    GatewayUnavailable,
    NotFound,
    ResultTimeout,
    StoreUnavailable,
    StraightLineError,
    Unroutable,
)

SUCCEEDED: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3
TIMED_OUT: Final = 4
NOT_FOUND: Final = 5
BAD_LINES: Final = 6
INTERRUPTED: Final = 130

EXIT_CODE_HELP: Final = """\
exit codes:
    0  success: the request succeeded, the broker confirmed it, or the answer was printed
    1  the request failed, expired, was cancelled or rejected
    2  usage error: an argument, a setting or the input is invalid; nothing was sent
    3  unavailable: the broker, gateway, scheduler or store cannot be reached or is overloaded, or the
       result is in a store that cannot be read from here; try again
    4  no result yet, or none within --timeout; the request continues
    5  not found: no such request, or not known yet
    6  a batch had invalid lines, which its report lists; the valid lines are done
  130  interrupted; run the same batch command again to resume
  141  the reader of the output closed it early
"""


def exit_code(error: StraightLineError) -> int:
    """Return the exit code of an error that ended a command."""
    if isinstance(error, BrokerUnavailable | Unroutable | GatewayUnavailable | StoreUnavailable):
        return UNAVAILABLE
    if isinstance(error, ResultTimeout):
        return TIMED_OUT
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, ContractError | ConfigurationError):
        return USAGE
    return FAILED
