"""Go programs for tests, built with Debian's packages only."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

GOPATH: Final = Path("/usr/share/gocode")
"""Directory of Go libraries in Debian's packages."""
AMQP: Final = GOPATH / "src" / "github.com" / "rabbitmq" / "amqp091-go"


def build(source: Path, program: Path) -> None:
    """Check and build a program of one file; skip the test if Go or its AMQP client is missing."""
    if shutil.which("go") is None or not AMQP.is_dir():
        pytest.skip("Go not installed (Debian: golang-go, golang-github-rabbitmq-amqp091-go-dev)")
    environment = {
        "PATH": os.environ["PATH"],
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(program.with_name("go-cache")),
        "CGO_ENABLED": "0",
    }
    assert not _run("gofmt", "-l", str(source), environment=environment)
    for command in (("go", "vet"), ("go", "build", "-o", str(program))):
        _run(*command, str(source), environment=environment)


def _run(*command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
