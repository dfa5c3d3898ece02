"""Programs in Go for tests, built with what Debian has: nothing is fetched."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

GOPATH: Final = Path("/usr/share/gocode")
"""Where Debian's packages put the sources of Go's libraries."""
AMQP: Final = GOPATH / "src" / "github.com" / "rabbitmq" / "amqp091-go"


def build(source: Path, program: Path) -> None:
    """Vet and build a program of one file; where Go or its AMQP client is absent, skip the test."""
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
