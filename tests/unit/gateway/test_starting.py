"""Settings are checked before the start, and reported in one line."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import main
from straightline.support import bind_check


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What would be executed, in an environment that is right."""
    for name in [name for name in os.environ if name.startswith("STRAIGHTLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STRAIGHTLINE_BROKER_URL", "amqp://a:b@127.0.0.1:1/v")
    monkeypatch.setenv("STRAIGHTLINE_DATABASE_URL", "postgresql+psycopg2://a:b@127.0.0.1:1/d")
    monkeypatch.setenv("STRAIGHTLINE_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("STRAIGHTLINE_STORE", f"file://{tmp_path}")
    monkeypatch.setenv("STRAIGHTLINE_GATEWAY_BIND", "127.0.0.1:0")
    executed: list[str] = []

    def execute(_: str, arguments: list[str]) -> None:
        executed.extend(arguments)
        raise SystemExit

    monkeypatch.setattr(os, "execv", execute)
    return executed


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def _refused(capsys: pytest.CaptureFixture[str], name: str, command: str = "http") -> str:
    assert main([command]) == 1
    said = capsys.readouterr().err
    assert said.startswith("gateway: ")
    assert said.count("\n") == 1
    assert f"STRAIGHTLINE_{name}" in said
    return said


def test_gunicorn_is_started_with_valid_settings(started: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["http"])
    assert "gunicorn" in started


@pytest.mark.parametrize(
    ("setting", "takes"),
    [
        ("GATEWAY_TIMEOUT=x", "a number"),
        ("BROKER_URL=foo", "amqp://user:password@host"),
        ("STORE=nope://x", "file"),
        ("DATABASE_URL=x", "postgresql+psycopg2://user:password@host"),
        ("MODELS_DIR=", "is not set"),
        ("MODELS_DIR=/nowhere", "no directory"),
        ("GATEWAY_MAX_BODY=abc", "a whole number"),
        ("GATEWAY_THREADS=-1", "a whole number >= 1"),
        ("GATEWAY_WORKERS=0", "a whole number >= 1"),
        ("GATEWAY_GRACE=x", "a whole number"),
        ("WEBHOOK_HOSTS=http://x", "without scheme"),
        ("GATEWAY_BIND=foo bar", "such as 127.0.0.1:8000"),
    ],
)
def test_an_invalid_setting_is_reported_in_one_line_before_the_start(
    started: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    takes: str,
) -> None:
    name, _, value = setting.partition("=")
    monkeypatch.setenv(f"STRAIGHTLINE_{name}", value)
    assert takes in _refused(capsys, name)
    assert started == []


def test_the_webhook_process_rejects_invalid_hosts(
    started: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_WEBHOOK_HOSTS", "http://x")
    assert "without scheme" in _refused(capsys, "WEBHOOK_HOSTS", "webhooks")
    assert started == []


def test_an_address_in_use_is_reported_in_one_line(
    started: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], taken: str
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_GATEWAY_BIND", taken)
    monkeypatch.setattr(bind_check, "BIND_TIMEOUT_S", 0.0)
    assert "in use" in _refused(capsys, "GATEWAY_BIND")
    assert started == []
