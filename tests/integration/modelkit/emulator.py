"""AWS's emulator of Lambda (RIE), running a function package."""

import contextlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import requests

from modelkit.wheels import unpack_wheels
from tests.integration.modelkit.processes import DEADLINE, ROOT, free_port, until

CACHE = ROOT / ".straightline" / "cache"
INVOKE = "/2015-03-31/functions/function/invocations"


def provide_emulator() -> Path:
    """Return the emulator's program, downloaded once in a wheel of AWS."""
    names = {"x86_64": "x86_64", "aarch64": "arm64"}
    folder = unpack_wheels(Path(__file__).with_name("emulator.txt"), CACHE, None)
    program = folder / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{names[platform.machine()]}"
    program.chmod(0o755)
    return program


def invoke(url: str, event: Any) -> Any:
    """Invoke the function through the emulator, as in AWS's documentation."""
    return requests.post(url + INVOKE, json=event, timeout=DEADLINE).json()


def await_emulator(url: str) -> None:
    """Wait until the emulator listens; it starts the function at the first invocation."""

    def listens() -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url, timeout=5).status_code > 0
        return False

    until(listens, f"the emulator listens at {url}")


class Emulator:
    """Run the emulator as a process, with a function's files as its task."""

    def __init__(self, task: Path, command: list[str]) -> None:
        port, runtime_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                str(provide_emulator()),
                *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
                *command,
            ],
            cwd=task,
            env={"PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": str(task), "HOME": str(task.parent)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> str:
        await_emulator(self.url)
        return self.url

    def __exit__(self, *_: object) -> None:
        self._process.terminate()  # ends the function, too
        self._process.wait(DEADLINE)
