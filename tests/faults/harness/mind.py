"""The model of the fault suite: it notes each execution, and does what the request tells it.

A request's only tensor is `note`, one text for each row: `<id> <command>` and then a line of anything, which
may be long and holds the canary.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from straightline.contracts import ModelSpec, TensorSpec

NAME: Final = "mind"
TIMEOUT: Final = 5.0
"""Seconds that one call may take: after it a silent backend counts as timed out."""

_TOML: Final = f"""\
name = "{NAME}"
version = "1"
flavour = "python"
entry = "mind:predict"
timeout = {TIMEOUT}

[[inputs]]
name = "note"
datatype = "BYTES"
shape = [-1]

[[outputs]]
name = "said"
datatype = "BYTES"
shape = [-1]
"""

_CODE: Final = """\
import os, signal, time
import numpy as np

EXECUTIONS = {executions!r}


def predict(tensors):
    return {{"said": np.array([_do(str(note)) for note in tensors["note"]], dtype=object)}}


def _do(note):
    request, _, rest = note.partition(" ")
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
        raise RuntimeError("told to fail")
    elif command == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def _recurse(depth):
    return _recurse(depth + 1) + 1


def _log(request):
    try:
        file = os.open(EXECUTIONS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError:
        return  # in a container, which has nothing of this machine
    try:
        os.write(file, (request + "\\n").encode())
    finally:
        os.close(file)
"""


def specification() -> ModelSpec:
    """Describe the model as its `model.toml` does."""
    note, said = (TensorSpec(name=name, datatype="BYTES", shape=(-1,)) for name in ("note", "said"))
    return ModelSpec(name=NAME, version="1", inputs=(note,), outputs=(said,), timeout=TIMEOUT)


def write_bundle(models: Path, executions: Path) -> Path:
    """Write the bundle below `models`; its model logs the ids that it served to `executions`."""
    bundle = models / NAME / "1"
    bundle.mkdir(parents=True)
    (bundle / "model.toml").write_text(_TOML, encoding="utf-8")
    (bundle / "mind.py").write_text(_CODE.format(executions=str(executions)), encoding="utf-8")
    return bundle


def write_function(bundle: Path, functions: Path, root: Path) -> None:
    """Package the bundle as a serverless function."""
    argv = [sys.executable, "-m", "modelkit", "package", "--form", "function"]
    argv += ["--bundle", str(bundle), "--out", str(functions.parent)]  # where it makes `functions`
    subprocess.run(argv, check=True, cwd=root, timeout=120, capture_output=True)


def request(identity: str, command: str, padding: str) -> bytes:
    """Return the V2 infer request that makes the model do something for that id."""
    note = f"{identity} {command}\n{padding}"
    return json.dumps(
        {"inputs": [{"name": "note", "shape": [1], "datatype": "BYTES", "data": [note]}]}
    ).encode()


def executions(file: Path) -> Mapping[str, int]:
    """Count how often each id was served."""
    return Counter(file.read_text(encoding="utf-8").split()) if file.exists() else Counter()
