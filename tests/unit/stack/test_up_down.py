"""What the commands of a stack that stays say."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from script.stack.processes import up_down
from script.support.errors import StackError
from script.support.run import Run, runs

ROOT = Path(__file__).resolve().parents[3]


def test_who_starts_anew_is_told_that_the_data_of_what_had_died_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StackError("no services in this test")

    monkeypatch.setattr(up_down, "start_stack", fail)
    Run.create(tmp_path, stays=True)
    with pytest.raises(StackError, match="no services"):
        up_down.up(ROOT, tmp_path, Console())
    said = capsys.readouterr().out
    assert "Something of an earlier stack has died" in said
    assert "goes with it: ledger, keys, queues" in said
    assert f"The models stay in {tmp_path / 'models'}" in said
    assert runs(tmp_path) == []


@pytest.mark.parametrize("command", ["up", "down", "demo"])
def test_arguments_that_are_not_known_are_told_in_the_commands_name(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "script.stack", command, "--wat"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"script/{command}: error: unrecognized arguments: --wat" in done.stderr
