"""Answers per second, asked for by h2load: a client in C, so that it is the server that is measured.

Beside a Python client both servers look alike: it needs more of a processor for a call than either of them.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_SUCCEEDED: Final = re.compile(r"(\d+) succeeded")
_RATE: Final = re.compile(r"([\d.]+) req/s")


def program() -> str:
    """Return the path of h2load.

    Raises:
        SystemExit: it is not installed.
    """
    found = shutil.which("h2load")
    if found is None:
        raise SystemExit("h2load is not installed: as root, apt-get install nghttp2-client")
    return found


def answers_per_second(
    url: str, body: bytes, headers: Mapping[str, str], *, clients: int, calls: int
) -> float:
    """Post `body` so many times over `clients` kept connections (HTTP/1.1), each with one call at a time.

    Raises:
        RuntimeError: not every call was answered with success.
    """
    calls = max(calls, clients)
    with tempfile.TemporaryDirectory(prefix="straightline-") as folder:
        data = Path(folder) / "body"
        data.write_bytes(body)
        argv = [program(), "--h1", "-t", "1", "-c", str(clients), "-n", str(calls), "-d", str(data)]
        for name, value in headers.items():
            argv += ["-H", f"{name}: {value}"]
        said = subprocess.run([*argv, url], capture_output=True, text=True, check=True, timeout=300).stdout
    succeeded, rate = _SUCCEEDED.search(said), _RATE.search(said)
    if succeeded is None or rate is None or int(succeeded[1]) != calls:
        raise RuntimeError(f"not every call was answered:\n{said}")
    return float(rate[1])
