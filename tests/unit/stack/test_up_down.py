"""Messages of the commands of a persistent stack."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from script.stack.processes import up_down
from script.support.errors import StackError
from script.support.run import Run, runs

ROOT = Path(__file__).resolve().parents[3]


def test_a_new_stack_after_a_crash_reports_which_data_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StackError("no services in this test")

    monkeypatch.setattr(up_down, "start_stack", fail)
    Run.create(tmp_path, stays=True)
    with pytest.raises(StackError, match="no services"):
        up_down.up(ROOT, tmp_path, Console())
    output = capsys.readouterr().out
    assert "A process of the previous stack has exited" in output
    assert "deleted: ledger, API keys, queues" in output
    assert f"Models are kept in {tmp_path / 'models'}" in output
    assert runs(tmp_path) == []


@pytest.mark.parametrize("command", ["up", "down", "demo"])
def test_unknown_arguments_are_reported_under_the_name_of_the_command(command: str) -> None:
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
