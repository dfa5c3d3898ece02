"""Places where a process of ours kills itself when it is told to, for the tests of what a crash may cost.

Only entry points call `arm`, so the variable means nothing to a producer that uses the SDK. See
`docs/decisions/` for why this is not in the tests.
"""

import os
import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from straightline.errors import ConfigurationError

VARIABLE: Final = "STRAIGHTLINE_CRASH_AT"
"""A step, and after a colon how often it is reached before the process dies there: `worker.after_call:10`."""


class Step(StrEnum):
    """Between which two steps a process may die."""

    SCHEDULER_BEFORE_DECODE = "scheduler.before_decode"
    SCHEDULER_AFTER_PUBLISH = "scheduler.after_publish"
    SCHEDULER_AFTER_CONFIRM = "scheduler.after_confirm"
    WORKER_BEFORE_CALL = "worker.before_call"
    WORKER_AFTER_CALL = "worker.after_call"
    WORKER_AFTER_CONFIRM = "worker.after_confirm"
    RECORDER_BEFORE_COMMIT = "recorder.before_commit"
    RECORDER_AFTER_COMMIT = "recorder.after_commit"


_armed: Step | None = None
_left = 0


def configure(environ: Mapping[str, str]) -> None:
    """Take from the environment where to die; without the variable nowhere.

    Raises:
        ConfigurationError: there is no such step.
    """
    global _armed, _left  # noqa: PLW0603 - one switch for the process, which every step looks at
    name, _, count = environ.get(VARIABLE, "").partition(":")
    try:
        _left = int(count or 1)
        _armed = Step(name) if name else None
    except ValueError as error:
        known = ", ".join(Step)
        raise ConfigurationError(f"{VARIABLE} is STEP or STEP:COUNT; steps are {known}") from error


def hit(step: Step) -> None:
    """Die, as by a power cut, if this is the armed step and its count has run down."""
    global _left  # noqa: PLW0603
    if _armed is not step:
        return
    _left -= 1
    if _left == 0:  # several threads may come by: the one that meets zero does it
        os.kill(os.getpid(), signal.SIGKILL)
