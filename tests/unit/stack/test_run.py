"""Any process can stop a run from its record, and nothing is left."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from script.support import processes
from script.support.errors import StackError
from script.support.run import RECORD, Run, runs

SLEEPER = "import time; time.sleep(60)"


def _start(run: Run, name: str) -> processes.Process:
    process = processes.start(
        name,
        [sys.executable, "-c", SLEEPER],
        log=run.log(name),
        cwd=run.directory,
        environment={processes.RUN_VARIABLE: run.name},
    )
    run.add(process)
    return process


def test_a_run_can_be_stopped_from_its_record(tmp_path: Path) -> None:
    process = _start(Run.create(tmp_path, stays=True), "one")
    (found,) = runs(tmp_path)
    assert found.started == [process]
    found.stop()
    assert not process.alive()
    assert runs(tmp_path) == []
    assert list((tmp_path / "runs").iterdir()) == []


def test_logs_are_kept_where_asked_and_replace_older_ones(tmp_path: Path) -> None:
    kept = tmp_path / "failed"
    kept.mkdir()
    (kept / "older.log").touch()
    run = Run.create(tmp_path, stays=True)
    _start(run, "one")
    run.stop(keep_logs=kept)
    assert [file.name for file in kept.iterdir()] == ["one.log"]


def test_stopping_twice_is_not_an_error(tmp_path: Path) -> None:
    run = Run.create(tmp_path, stays=True)
    _start(run, "one")
    run.stop()
    assert run.stop() == []


def test_data_outside_of_the_checkout_is_removed_too(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "state", stays=True)
    run.home.rmdir()
    run.home = tmp_path / "elsewhere"
    run.home.mkdir()
    run.stop()
    assert not run.home.exists()


def test_a_run_is_abandoned_once_its_command_is_gone(tmp_path: Path) -> None:
    run = Run.create(tmp_path, stays=False)
    assert not run.abandoned()
    assert run.owner is not None
    run.owner = replace(run.owner, started=run.owner.started - 1)
    assert run.abandoned()
    run.stop()


def test_a_persistent_run_is_never_abandoned(tmp_path: Path) -> None:
    run = Run.create(tmp_path, stays=True)
    assert not run.abandoned()
    run.stop()


def test_stopping_one_run_leaves_the_others(tmp_path: Path) -> None:
    first, second = Run.create(tmp_path, stays=True), Run.create(tmp_path, stays=True)
    kept = _start(second, "kept")
    _start(first, "one")
    first.stop()
    assert kept.alive()
    second.stop()


def test_a_damaged_record_is_an_error(tmp_path: Path) -> None:
    run = Run.create(tmp_path, stays=True)
    (run.directory / RECORD).write_text("{")
    with pytest.raises(StackError, match="cannot be read"):
        runs(tmp_path)
    run.stop()


@pytest.mark.parametrize("name", ["two words", "été", "a#b", "it's", "a=b"])
def test_services_use_another_directory_if_settings_cannot_have_the_path(tmp_path: Path, name: str) -> None:
    run = Run.create(tmp_path / name, stays=True)
    try:
        assert re.fullmatch(r"[A-Za-z0-9/._-]+", str(run.home))
    finally:
        run.stop()
    assert not run.home.exists()
