"""Exit codes, a stable interface for scripts."""

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
    0  success
    1  another failure; the message gives the reason
    2  usage error: an argument, a setting, model.toml or a file that it names is invalid
    3  unavailable: the container engine does not answer, has no such image or refuses the limits, or the
       ledger or the broker cannot be reached
    4  the entry point raised an exception, or exited before it returned
    5  the job crashed: its process was ended by a signal
    6  the job ran out of memory
    7  the job exceeded its time limit
    8  the metric is below the minimum in model.toml
    9  the compressed model was rejected; the uncompressed one is kept
   10  the bundle is not validated, has changed since, or has another digest than --digest; or its version
       is already deployed with other content
   11  the model does not load, or its server, image or function does not become ready; nothing was deployed
   12  a deployment target could not take the version, or could not release it
   13  the registry refused: no such version, nothing to roll back to, or the version still gets requests
  130  interrupted
"""


def exit_code(error: StraightLineError) -> int:
    """Return the exit code of an error that ended a command."""
    if isinstance(error, JobFailed):
        return _JOB_CODES.get(error.result.status, FAILED)
    return next((code for kind, code in _ERROR_CODES.items() if isinstance(error, kind)), FAILED)
