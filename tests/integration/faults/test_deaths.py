"""Terminating a session also ends its child processes, as a crash does in a deployment."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from script.support import processes
from script.support.processes import Process
from tests.faults.harness.fault_stack import wait_for
from tests.faults.harness.memory_growth import ProcessSamples
from tests.faults.harness.memory_sampler import MemorySampler
from tests.faults.harness.process_info import descendants, session
from tests.faults.harness.termination import Termination

pytestmark = pytest.mark.integration

FAMILY = """
import os, signal, subprocess, sys
if os.fork() == 0:
    subprocess.Popen(["sleep", "600"], process_group=0)
    signal.pause()
while True:  # like a server that replaces its workers
    os.wait()
    if os.fork() == 0:
        signal.pause()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Process]:
    started = processes.start(
        "family",
        [sys.executable, "-c", FAMILY],
        log=tmp_path / "log",
        cwd=tmp_path,
        environment=dict(os.environ),
    )
    wait_for(lambda: len(session(started.pid)) == 3, lambda: "a process of the session is missing", 20)
    yield started
    for process in session(started.pid):
        os.kill(process.pid, signal.SIGKILL)


def test_sigkill_of_a_session_leaves_no_process(parent: Process) -> None:
    Termination.SIGKILL_SESSION.apply(parent)
    wait_for(lambda: not session(parent.pid), lambda: f"{session(parent.pid)} are left", 20)


def test_sigkill_of_a_process_leaves_its_children(parent: Process) -> None:
    Termination.SIGKILL.apply(parent)
    wait_for(lambda: not parent.alive(), lambda: "it is still alive", 20)
    assert len(session(parent.pid)) == 2


def test_each_process_of_a_session_has_its_own_named_samples(parent: Process, tmp_path: Path) -> None:
    seen = threading.Event()

    def watched() -> dict[str, Process]:
        if (tmp_path / "memory.csv").read_text(encoding="utf-8").count("\n") > 3:
            seen.set()
        return {"family": parent}

    memory = MemorySampler(watched, tmp_path / "memory.csv", interval=0.05)
    assert seen.wait(20)
    lives = memory.close()
    assert {life.name for life in lives} == {"family", "family, worker", "family: sleep"}
    assert len(lives) == 1 + len(descendants(parent.pid))
    assert all(size > 0 for life in lives for _, size in life.samples)


def test_without_processes_there_are_no_samples(tmp_path: Path) -> None:
    assert MemorySampler(dict, tmp_path / "memory.csv", interval=0.05).close() == list[ProcessSamples]()
