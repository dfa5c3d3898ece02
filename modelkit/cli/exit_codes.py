"""Exit codes, which scripts rely on."""

from typing import Final

from model_server.models.bundle import DigestMismatch
from modelkit.compression import NotCompressed
from modelkit.deployment.errors import NotPlaced, NotReady
from modelkit.jobs.job import JobFailed, JobRefused, JobStatus
from modelkit.validation import BelowMinimum, NotValidated
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable, OtherDigest, RegistryRefused
from straightline.errors import BrokerUnavailable, ConfigurationError, StraightLineError

FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3
BELOW_MINIMUM: Final = 8
NOT_COMPRESSED: Final = 9
NOT_VALIDATED: Final = 10
NOT_READY: Final = 11
NOT_PLACED: Final = 12
REFUSED: Final = 13
INTERRUPTED: Final = 130

_JOB_CODES: Final[dict[JobStatus, int]] = {
    "failed": 4,
    "exited": 4,
    "killed": 5,
    "out_of_memory": 6,
    "timed_out": 7,
}

_ERROR_CODES: Final[dict[type[StraightLineError], int]] = {
    JobRefused: UNAVAILABLE,
    BelowMinimum: BELOW_MINIMUM,
    NotCompressed: NOT_COMPRESSED,
    NotValidated: NOT_VALIDATED,
    DigestMismatch: NOT_VALIDATED,
    OtherDigest: NOT_VALIDATED,
    NotReady: NOT_READY,
    NotPlaced: NOT_PLACED,
    RegistryRefused: REFUSED,
    LedgerUnavailable: UNAVAILABLE,
    LedgerNotMigrated: UNAVAILABLE,
    BrokerUnavailable: UNAVAILABLE,
    ConfigurationError: USAGE,
}

EXIT_CODES: Final = """\
exit codes:
   0  done
   1  refused or failed otherwise; the message says why
   2  wrong usage: an argument, a setting, model.toml or a file it names cannot be used
   3  the container engine does not answer, has not the image, or refuses the limits; the registry or the
      broker cannot be reached
   4  the project's entry point raised an exception, or exited before it returned
   5  its process crashed: a signal ended it
   6  it ran out of memory
   7  it was ended at its time limit
   8  the model's figure is below the minimum of its model.toml
   9  the compressed model was refused; the uncompressed one stays
  10  the bundle is not validated, or is not the one that was, or that a digest means; or its version is
      deployed already with another content
  11  it cannot be loaded, or its server, image or function does not become ready; it was not deployed
  12  a place could not take it, or let it go
  13  the registry refuses: no such version, nothing to roll back to, requests still go to it
 130  interrupted
"""


def exit_code(error: StraightLineError) -> int:
    """Return the code for an error that ended a command."""
    if isinstance(error, JobFailed):
        return _JOB_CODES.get(error.result.status, FAILED)
    return next((code for kind, code in _ERROR_CODES.items() if isinstance(error, kind)), FAILED)
