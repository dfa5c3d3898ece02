"""Answers per second, measured with h2load, a client in C.

A Python client needs more processor time for a call than either server, so that both would look alike.
"""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from script.support.errors import StackError

LOAD_TIMEOUT_S: Final = 300
_SUCCEEDED: Final = re.compile(r"(\d+) succeeded")
_RATE: Final = re.compile(r"([\d.]+) req/s")


def answers_per_second(
    url: str, body: bytes, headers: Mapping[str, str], *, clients: int, calls: int
) -> float:
    """Post `body` `calls` times over `clients` kept HTTP/1.1 connections, one call at a time on each.

    Raises:
        StackError: a call failed.
    """
    calls = max(calls, clients)
    with tempfile.TemporaryDirectory(prefix="straightline-") as folder:
        data = Path(folder) / "body"
        data.write_bytes(body)
        argv = ["h2load", "--h1", "-t", "1", "-c", str(clients), "-n", str(calls), "-d", str(data)]
        for name, value in headers.items():
            argv += ["-H", f"{name}: {value}"]
        done = subprocess.run(
            [*argv, url], capture_output=True, text=True, check=False, timeout=LOAD_TIMEOUT_S
        )
    succeeded, rate = _SUCCEEDED.search(done.stdout), _RATE.search(done.stdout)
    if done.returncode or succeeded is None or rate is None or int(succeeded[1]) != calls:
        raise StackError(f"h2load: not every call to {url} succeeded:\n{done.stdout}{done.stderr}")
    return float(rate[1])
