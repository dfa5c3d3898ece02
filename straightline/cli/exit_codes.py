"""Exit codes, which scripts rely on."""

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
  0  done: the request succeeded, or the broker has it or the wish to cancel it safe, or the answer is printed
  1  the request ended otherwise: failed, expired, cancelled or rejected; or it was refused
  2  wrong usage: an argument, a setting or the input cannot be used; nothing was sent
  3  the broker, the gateway or the store cannot be reached or takes nothing now, no scheduler can be
     asked, or the result that lies in a store cannot be read here; it may be tried again
  4  no result came in the time that --timeout gives, or there is none yet; the request goes on
  5  there is no such request, or nothing is known of it yet
  6  lines of a batch are no requests, and stand in its report; the good ones are done
  130  interrupted; a batch goes on from there by the same command
  141  whoever read the output went away before its end
"""


def exit_code(error: StraightLineError) -> int:
    """Return the code for an error that ended a command."""
    if isinstance(error, BrokerUnavailable | Unroutable | GatewayUnavailable | StoreUnavailable):
        return UNAVAILABLE
    if isinstance(error, ResultTimeout):
        return TIMED_OUT
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, ContractError | ConfigurationError):
        return USAGE
    return FAILED
