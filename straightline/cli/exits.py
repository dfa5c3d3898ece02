"""Exit codes, which scripts rely on."""

from typing import Final

from straightline.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ContractError,
    ResultTimeout,
    StraightLineError,
    Unroutable,
)

SUCCEEDED: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3
TIMED_OUT: Final = 4

EXIT_CODES: Final = """\
exit codes:
  0  the request succeeded (with --wait), or the broker has it safe (without), or the wish to cancel it
  1  the request ended otherwise: failed, expired, cancelled or rejected; or the broker refused it
  2  wrong usage: an argument, a setting or the input cannot be used; nothing was sent
  3  the broker cannot be reached, or has no queue for requests
  4  no result came in the time that --timeout gives; the request goes on
"""


def exit_code(error: StraightLineError) -> int:
    """Return the code for an error that ended a command."""
    if isinstance(error, BrokerUnavailable | Unroutable):
        return UNAVAILABLE
    if isinstance(error, ResultTimeout):
        return TIMED_OUT
    if isinstance(error, ContractError | ConfigurationError):
        return USAGE
    return FAILED
