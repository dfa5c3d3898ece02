"""A model server with an invalid setting ends with a message that names it and the remedy."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from model_server.settings import load_checked
from straightline.support import bind_check

SERVE = ("-m", "gunicorn", "-c", "python:model_server.gunicorn_conf", "model_server.app:create()")
ROOT = Path(__file__).resolve().parents[3]
CASES = [
    ("SERVE_MAX_BODY", "x", "a whole number"),
    ("SERVE_THREADS", "x", "a whole number"),
    ("SERVE_WORKERS", "0", "a whole number >= 1"),
    ("SERVE_WATCH", "x", "a number"),
    ("SERVE_BIND", "foo bar", "such as 127.0.0.1"),
    ("MODELS_DIR", "", "is not set"),
    ("MODELS_DIR", "/nowhere", "no model directory"),
]


@pytest.mark.parametrize(("name", "value", "takes"), CASES)
def test_an_invalid_setting_ends_with_one_message(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, value: str, takes: str
) -> None:
    environ = {"STRAIGHTLINE_SERVE_BIND": "127.0.0.1:0", "STRAIGHTLINE_MODELS_DIR": str(tmp_path)}
    with pytest.raises(SystemExit) as ended:
        load_checked({**environ, f"STRAIGHTLINE_{name}": value})
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("model server: ")
    assert said.count("\n") == 1
    assert f"STRAIGHTLINE_{name}" in said
    assert takes in said


def test_gunicorn_exits_with_only_that_message(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "STRAIGHTLINE_MODELS_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *SERVE],
        env={**environ, "STRAIGHTLINE_SERVE_THREADS": "x"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    line = "model server: STRAIGHTLINE_SERVE_THREADS is invalid: expected a whole number\n"
    assert (done.returncode, done.stderr) == (1, line)


def test_inherited_sockets_are_not_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bind_check, "BIND_TIMEOUT_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        environ = {
            "STRAIGHTLINE_MODELS_DIR": str(tmp_path),
            "STRAIGHTLINE_SERVE_BIND": f"127.0.0.1:{bound.getsockname()[1]}",
        }
        assert load_checked({**environ, "GUNICORN_FD": "5"}).serve_threads == 4
        with pytest.raises(SystemExit):
            load_checked(environ)
