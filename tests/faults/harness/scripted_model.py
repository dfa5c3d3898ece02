"""Scripted model of the fault suite: logs each execution and obeys the command in the request.

The only input tensor is `script`, one text a row: `<id> <command>` and a second line of padding, which holds
the canary.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from straightline.contracts import ModelSpec, TensorSpec

NAME: Final = "scripted"
TIMEOUT_S: Final = 5.0
"""Time limit of one call; after it a silent backend counts as timed out."""

_TOML: Final = f"""\
name = "{NAME}"
version = "1"
flavour = "python"
entry = "scripted:predict"
timeout = {TIMEOUT_S}

[[inputs]]
name = "script"
datatype = "BYTES"
shape = [-1]

[[outputs]]
name = "reply"
datatype = "BYTES"
shape = [-1]
"""

_CODE: Final = """\
import os, signal, time
import numpy as np

EXECUTIONS = {executions!r}


def predict(tensors):
    return {{"reply": np.array([_do(str(script)) for script in tensors["script"]], dtype=object)}}


def _do(script):
    request, _, rest = script.partition(" ")
    command, _, argument = rest.partition("\\n")[0].partition(":")
    _log(request)
    if command == "sleep":
        time.sleep(float(argument))
    elif command == "exit":
        raise SystemExit(3)
    elif command == "memory":
        raise MemoryError
    elif command == "recursion":
        _recurse(0)
    elif command == "fail":
        raise RuntimeError("instructed to fail")
    elif command == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def _recurse(depth):
    return _recurse(depth + 1) + 1


def _log(request):
    try:
        file = os.open(EXECUTIONS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError:
        return  # a container does not have the file
    try:
        os.write(file, (request + "\\n").encode())
    finally:
        os.close(file)
"""


def specification() -> ModelSpec:
    """Return the specification that `model.toml` contains."""
    script, reply = (TensorSpec(name=name, datatype="BYTES", shape=(-1,)) for name in ("script", "reply"))
    return ModelSpec(name=NAME, version="1", inputs=(script,), outputs=(reply,), timeout=TIMEOUT_S)


def write_bundle(models: Path, executions: Path) -> Path:
    """Write the bundle below `models`; the model logs the ids that it executes to `executions`."""
    bundle = models / NAME / "1"
    bundle.mkdir(parents=True)
    (bundle / "model.toml").write_text(_TOML, encoding="utf-8")
    (bundle / "scripted.py").write_text(_CODE.format(executions=str(executions)), encoding="utf-8")
    return bundle


def write_function(bundle: Path, functions: Path, root: Path) -> None:
    """Package the bundle as a serverless function."""
    argv = [sys.executable, "-m", "modelkit", "package", "--form", "function"]
    argv += ["--bundle", str(bundle), "--out", str(functions.parent)]  # makes `functions` in it
    subprocess.run(argv, check=True, cwd=root, timeout=120, capture_output=True)


def request(identity: str, command: str, padding: str) -> bytes:
    """Return a V2 infer request that makes the model obey `command`."""
    script = f"{identity} {command}\n{padding}"
    return json.dumps(
        {"inputs": [{"name": "script", "shape": [1], "datatype": "BYTES", "data": [script]}]}
    ).encode()


def executions(file: Path) -> Mapping[str, int]:
    """Count the executions of each id."""
    return Counter(file.read_text(encoding="utf-8").split()) if file.exists() else Counter()
