"""Failpoints: steps at which a process kills itself on demand, for tests of crash safety.

Only entry points call `configure`, so the variable has no effect on a producer that uses the SDK. See
`docs/decisions/` for why this is not in the tests.
"""

import os
import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from straightline.errors import ConfigurationError

VARIABLE: Final = "STRAIGHTLINE_CRASH_AT"
"""A step, and after a colon the visit at which the process dies: `worker.after_call:10`."""


class Step(StrEnum):
    """The steps at which a process may die."""

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
    """Arm the failpoint that the environment names, if any.

    Raises:
        ConfigurationError: the step does not exist.
    """
    global _armed, _left  # noqa: PLW0603 - one switch for the process, which every step looks at
    name, _, count = environ.get(VARIABLE, "").partition(":")
    try:
        _left = int(count or 1)
        _armed = Step(name) if name else None
    except ValueError as error:
        known = ", ".join(Step)
        raise ConfigurationError(
            f"{VARIABLE} is invalid: it must be STEP or STEP:COUNT, with one of the steps {known}"
        ) from error


def hit(step: Step) -> None:
    """Kill the process (SIGKILL) if this step is armed and its count is used up."""
    global _left  # noqa: PLW0603
    if _armed is not step:
        return
    _left -= 1
    if _left == 0:  # several threads may pass: the one that reaches zero does it
        os.kill(os.getpid(), signal.SIGKILL)
