"""Processes are known by more than their id, and are ended whatever they do about it."""

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
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
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


def test_a_started_process_lives_and_its_output_is_logged(starter: Starter) -> None:
    process = starter(SLEEPER)
    assert process.alive()
    assert process.tail() == "ready"


def test_another_process_of_the_same_id_is_not_it(starter: Starter) -> None:
    process = starter(SLEEPER)
    assert not replace(process, started=process.started - 1).alive()


def test_stop_never_signals_another_process_of_the_same_id(starter: Starter) -> None:
    process = starter(SLEEPER)
    assert processes.stop([replace(process, started=process.started - 1)]) == []
    assert process.alive()


def test_a_willing_process_ends_without_being_killed(starter: Starter) -> None:
    process = starter(SLEEPER)
    assert processes.stop([process]) == []
    assert not process.alive()


def test_a_stubborn_process_is_killed(starter: Starter) -> None:
    process = starter(STUBBORN)
    assert processes.stop([process], timeout=0.3) == ["sleeper"]
    assert not process.alive()


def test_a_child_in_a_session_of_its_own_is_found_by_its_mark(starter: Starter, mark: str) -> None:
    process = starter(PARENT)
    processes.stop([process])
    assert len(processes.stop_strays(mark)) == 1
    assert processes.stop_strays(mark) == []


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="nobody cannot be started"):
        processes.start("nobody", ["/nowhere/nothing"], log=tmp_path / "log", cwd=tmp_path, environment={})


def test_waiting_ends_when_a_process_dies_and_shows_its_log(starter: Starter) -> None:
    process = starter("print('ready: no such queue', flush=True)")
    began = time.monotonic()
    with pytest.raises(StackError, match="no such queue"):
        wait_until(lambda: False, what="it", seconds=60, watched=(process,))
    assert time.monotonic() - began < 30


def test_waiting_ends_at_its_deadline_with_the_log(starter: Starter) -> None:
    process = starter(SLEEPER)
    with pytest.raises(StackError, match=r"it is not there after 0\.1 s, alas(.|\n)*ready"):
        wait_until(lambda: False, what="it", seconds=0.1, watched=(process,), detail=lambda: ", alas")
