"""A Python model that follows commands: answer, fail, crash, hang, allocate memory, look around."""

import json
from pathlib import Path

import msgspec

from straightline.contracts import InferResponse, ModelSpec, TensorSpec

_TOML = """\
name = "probe"
version = "1"
flavour = "python"
entry = "probe:predict"
timeout = 20.0

[[inputs]]
name = "do"
datatype = "BYTES"
shape = [1]

[[outputs]]
name = "said"
datatype = "BYTES"
shape = [1]
"""

_CODE = """\
import json, os, pathlib, signal, time
import numpy as np


def predict(tensors):
    said = globals()[str(tensors["do"][0])]()
    return {"said": np.array([json.dumps(said)], dtype=object)}


def hello():
    return os.getpid()


def fail():
    raise RuntimeError("told to fail")


def crash():
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(9)


def hang():
    time.sleep(3600)


def devour():
    held = []
    while True:
        held.append(bytearray(os.urandom(1) * (16 << 20)))


def look():
    status = pathlib.Path("/proc/self/status").read_text()
    caps = [line.split()[1] for line in status.splitlines() if line.startswith("Cap")]
    return {
        "uid": os.getuid(),
        "capabilities": caps,
        "no_new_privileges": "NoNewPrivs:\\t1" in status,
        "root": _write("/evil"),
        "code": _write("/srv/straightline/evil"),
        "tmp": _write("/tmp/fine"),
        "setuid": _setuid(),
    }


def environment():
    return dict(os.environ)


def _write(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError as error:
        return error.strerror
    return "written"


def _setuid():
    try:
        os.setuid(0)
    except OSError as error:
        return error.strerror
    return "root"
"""

PROBE = ModelSpec(
    name="probe",
    version="1",
    timeout=20.0,
    inputs=(TensorSpec(name="do", datatype="BYTES", shape=(1,)),),
    outputs=(TensorSpec(name="said", datatype="BYTES", shape=(1,)),),
)


BROKEN = 'raise RuntimeError("this bundle is broken")'
SLOW = "import time\ntime.sleep(3600)"


def named(name: str) -> ModelSpec:
    """Return the probe's description under another name."""
    return msgspec.structs.replace(PROBE, name=name)


def write_probe(models: Path, *, name: str = "probe", code: str = _CODE) -> None:
    """Write the bundle."""
    place = models / name / "1"
    place.mkdir(parents=True)
    (place / "model.toml").write_text(_TOML.replace('"probe"', f'"{name}"', 1), encoding="utf-8")
    (place / "probe.py").write_text(code, encoding="utf-8")


def tell(what: str) -> bytes:
    """Return the request that makes it do something."""
    tensor = {"name": "do", "datatype": "BYTES", "shape": [1], "data": [what]}
    return json.dumps({"inputs": [tensor]}).encode()


def said(body: bytes) -> object:
    """Return what it said."""
    answer = msgspec.json.decode(body, type=InferResponse)
    (text,) = msgspec.json.decode(answer.outputs[0].data, type=list[str])
    return json.loads(text)
