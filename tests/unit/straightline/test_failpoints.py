import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from straightline.errors import ConfigurationError
from straightline.support import failpoints

ROOT = Path(__file__).resolve().parents[3]
WALK = """
import os
from straightline.support import failpoints
{arm}
for _ in range(3):
    failpoints.hit(failpoints.Step.WORKER_BEFORE_CALL)
    failpoints.hit(failpoints.Step.WORKER_AFTER_CALL)
    print("past", flush=True)
"""


def walk(at: str, *, arm: bool = True) -> tuple[int, int]:
    """Exit code of a process that takes two steps three times, and how often it got past both."""
    code = WALK.format(arm="failpoints.configure(os.environ)" if arm else "")
    environ = {**os.environ, "PYTHONPATH": str(ROOT), failpoints.VARIABLE: at}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout.count("past")


def test_the_armed_process_is_killed_at_its_step_and_count() -> None:
    assert walk("worker.after_call") == (-signal.SIGKILL, 0)
    assert walk("worker.after_call:3") == (-signal.SIGKILL, 2)


def test_a_step_that_is_not_reached_kills_nothing() -> None:
    assert walk("recorder.after_commit") == (0, 3)


def test_without_an_entry_point_that_arms_it_the_variable_means_nothing() -> None:
    assert walk("worker.after_call", arm=False) == (0, 3)


@pytest.mark.parametrize("value", ["worker.lunch", "worker.after_call:soon"])
def test_a_step_that_is_none_is_refused_in_words(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"worker\.after_call"):
        failpoints.configure({failpoints.VARIABLE: value})
