"""A component's death takes with it what the component has started, as a deployment's does."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from script.support import processes
from script.support.processes import Process
from tests.faults.harness.deaths import Death
from tests.faults.harness.growth import Life
from tests.faults.harness.memory import Memory
from tests.faults.harness.scene import wait_for
from tests.faults.harness.tree import descendants, session

pytestmark = pytest.mark.integration

FAMILY = """
import os, signal, subprocess, sys
if os.fork() == 0:
    subprocess.Popen(["sleep", "600"], process_group=0)
    signal.pause()
while True:  # as a server does that replaces its workers
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
    wait_for(lambda: len(session(started.pid)) == 3, lambda: "the family is not whole", 20)
    yield started
    for process in session(started.pid):
        os.kill(process.pid, signal.SIGKILL)


def test_who_is_killed_whole_leaves_nobody(parent: Process) -> None:
    Death.KILLED_WHOLE.befall(parent)
    wait_for(lambda: not session(parent.pid), lambda: f"{session(parent.pid)} are left", 20)


def test_who_is_killed_alone_leaves_what_it_has_started(parent: Process) -> None:
    Death.KILLED.befall(parent)
    wait_for(lambda: not parent.alive(), lambda: "it lives", 20)
    assert len(session(parent.pid)) == 2


def test_the_memory_of_each_process_is_its_own_and_has_a_name(parent: Process, tmp_path: Path) -> None:
    seen = threading.Event()

    def watched() -> dict[str, Process]:
        if (tmp_path / "memory.csv").read_text(encoding="utf-8").count("\n") > 3:
            seen.set()
        return {"family": parent}

    memory = Memory(watched, tmp_path / "memory.csv", every=0.05)
    assert seen.wait(20)
    lives = memory.close()
    assert {life.name for life in lives} == {"family", "family, worker", "family: sleep"}
    assert len(lives) == 1 + len(descendants(parent.pid))
    assert all(size > 0 for life in lives for _, size in life.samples)


def test_of_what_was_never_there_nothing_is_known(tmp_path: Path) -> None:
    assert Memory(dict, tmp_path / "memory.csv", every=0.05).close() == list[Life]()
