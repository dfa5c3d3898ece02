"""Processes are identified by more than their id, and are stopped whether they obey or not."""

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from script.support import processes
from script.support.errors import StackError
from script.support.processes import Process
from script.support.readiness import wait_until

Starter = Callable[[str], Process]

SLEEPER = "import time; print('ready', flush=True); time.sleep(60)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
PARENT = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True); "
    "print('ready', flush=True); time.sleep(60)"
)


@pytest.fixture
def mark() -> Iterator[str]:
    mark = secrets.token_hex(4)
    yield mark
    processes.stop_strays(mark)


@pytest.fixture
def starter(tmp_path: Path, mark: str) -> Starter:
    def start(program: str) -> Process:
        process = processes.start(
            "sleeper",
            [sys.executable, "-c", program],
            log=tmp_path / "logs" / "sleeper.log",
            cwd=tmp_path,
            environment={processes.RUN_VARIABLE: mark},
        )
        wait_until(lambda: "ready" in process.tail(), what="it", seconds=20, watched=(process,))
        return process

    return start


def test_a_started_process_runs_and_its_output_is_logged(starter: Starter) -> None:
    process = starter(SLEEPER)
    assert process.alive()
    assert process.tail() == "ready"


def test_a_later_process_of_the_same_id_is_another_one(starter: Starter) -> None:
    process = starter(SLEEPER)
    assert not replace(process, started=process.started - 1).alive()


def test_stop_never_signals_a_later_process_of_the_same_id(starter: Starter) -> None:
    process = starter(SLEEPER)
    assert processes.stop([replace(process, started=process.started - 1)]) == []
    assert process.alive()


def test_a_process_that_obeys_sigterm_is_not_killed(starter: Starter) -> None:
    process = starter(SLEEPER)
    assert processes.stop([process]) == []
    assert not process.alive()


def test_a_process_that_ignores_sigterm_is_killed(starter: Starter) -> None:
    process = starter(IGNORES_SIGTERM)
    assert processes.stop([process], timeout=0.3) == ["sleeper"]
    assert not process.alive()


def test_a_child_in_its_own_session_is_found_by_the_run_variable(starter: Starter, mark: str) -> None:
    process = starter(PARENT)
    processes.stop([process])
    assert len(processes.stop_strays(mark)) == 1
    assert processes.stop_strays(mark) == []


def test_a_process_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="missing cannot be started"):
        processes.start("missing", ["/nowhere/nothing"], log=tmp_path / "log", cwd=tmp_path, environment={})


def test_waiting_ends_when_a_process_exits_and_shows_its_log(starter: Starter) -> None:
    process = starter("print('ready: no such queue', flush=True)")
    began = time.monotonic()
    with pytest.raises(StackError, match="no such queue"):
        wait_until(lambda: False, what="it", seconds=60, watched=(process,))
    assert time.monotonic() - began < 30


def test_waiting_ends_at_the_time_limit_with_the_log(starter: Starter) -> None:
    process = starter(SLEEPER)
    with pytest.raises(StackError, match=r"it was not ready after 0\.1 s, alas(.|\n)*ready"):
        wait_until(lambda: False, what="it", seconds=0.1, watched=(process,), detail=lambda: ", alas")
