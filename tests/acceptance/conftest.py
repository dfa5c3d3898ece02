"""The commands of a checkout, run as a user runs them, apart from any stack that it has running."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def environment(state: Path) -> dict[str, str]:
    """The environment of a user who has set nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRAIGHTLINE_")}
    return kept | {"STRAIGHTLINE_STATE": str(state)}


@pytest.fixture
def command(environment: dict[str, str]) -> Iterator[Command]:
    """Runs `script/NAME ARGUMENTS`; whatever a test leaves running is stopped after it."""

    def run(
        name: str, *arguments: str, timeout: float = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ROOT / "script" / name), *arguments],
            cwd="/",
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    yield run
    run("down")
