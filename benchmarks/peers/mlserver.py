"""MLServer, a V2 server in a Python environment of its own, the peer of our model server."""

import hashlib
import json
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from script.stack.processes import readiness_probes
from script.stack.services.ports import free_ports
from script.support.errors import StackError
from script.support.readiness import wait_until
from straightline.support.atomic_directory import replace_directory

ROOT: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = ROOT / "requirements" / "mlserver.txt"
CACHE: Final = ROOT / ".straightline" / "cache"
START_TIMEOUT_S: Final = 120.0


def environment() -> Path:
    """Return the directory of MLServer's environment, made on first use: 320 MB, and about a minute.

    Raises:
        StackError: pip cannot install it.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    target = CACHE / f"mlserver-{digest}-py{sys.version_info.major}{sys.version_info.minor}"
    if not target.is_dir():
        with replace_directory(target) as fresh:
            venv.create(fresh, with_pip=True, symlinks=True)
            _install(fresh / "bin" / "python")
    return target


def _install(python: Path) -> None:
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install")
    wheels = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile")
    argv = [*pip, *wheels, "-r", str(REQUIREMENTS)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise StackError(f"MLServer could not be installed: {' '.join(last)}. Check the access to PyPI")


@contextmanager
def mlserver(folder: Path, *, name: str, code: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Serve one model, and give the server's URL when it is ready; the server ends with the block.

    Args:
        folder: an empty directory, for its files and its log.
        name: of the model.
        code: Python with the class `Model`.
        settings: of the model, except its name and implementation.
    """
    http, grpc, metrics = free_ports(3)
    # One process, its fastest setting; by default a second one runs the models.
    ports = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    server = ports | {"parallel_workers": 0, "debug": False}
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model.py").write_text(code)
    model = {"name": name, "implementation": "model.Model", **settings}
    (folder / "model-settings.json").write_text(json.dumps(model))
    start = "import sys; from mlserver.cli import main; sys.argv = ['mlserver', 'start', '.']; main()"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(environment() / "bin" / "python"), "-c", start], cwd=folder, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{http}"
        wait_until(
            lambda: process.poll() is None and readiness_probes.answers_http(f"{url}/v2/models/{name}/ready"),
            what="MLServer",
            seconds=START_TIMEOUT_S,
            watched=(),
        )
        yield url
    finally:
        process.terminate()
        process.wait(START_TIMEOUT_S)
