"""The engine stops while the pool uses it: reported within a bound, and recovered from when it is back."""

import io
import os
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import pytest

from script.docker_engine import dockerd
from script.docker_engine.base_image import TAG
from script.docker_engine.docker_engine import base
from script.support import processes
from script.support.errors import StackError
from tests.integration.containers.bundles import PROBE, tell
from tests.integration.containers.conftest import FIRST_TIME, ROOT, MakeBackend
from workers.protocol.errors import BackendFault

pytestmark = [pytest.mark.integration, pytest.mark.docker, FIRST_TIME]

_SERVER = b"""
import http.server, os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class V2(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), V2).serve_forever()
"""
"""Any V2 server will do here, so it is the smallest one."""


@pytest.fixture
def driver() -> str:
    return "docker"


@pytest.fixture
def own_engine(docker_engine: Mapping[str, str], tmp_path: Path) -> Iterator[dockerd.Engine]:
    """An engine of the test's own, which it may stop, with an image of a small server."""
    base(ROOT, docker_engine)  # whose file in the cache the other one reads
    try:
        started = dockerd.start(tmp_path)
    except StackError as error:
        pytest.skip(f"no engine of its own: {error}")
    environ = {**os.environ, "DOCKER_HOST": started.url}
    base(ROOT, environ)
    client = docker.from_env(environment=environ)
    client.images.build(
        fileobj=_context(), custom_context=True, tag="straightline/probe:1", network_mode="none"
    )
    client.close()
    yield started
    last = dockerd.Engine.read(tmp_path / "engine.json")  # a test may have started it again
    assert last is not None
    dockerd.stop(last, tmp_path)


@pytest.fixture
def environ(own_engine: dockerd.Engine, models_dir: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DOCKER_HOST": own_engine.url,
        "STRAIGHTLINE_MODELS_DIR": str(models_dir),
        "STRAIGHTLINE_ENGINE_TIMEOUT": "3",
        "STRAIGHTLINE_RUN": "tests",
    }


def test_an_engine_that_stops_is_unreachable_within_a_bound_and_healthy_when_it_is_back(
    make_backend: MakeBackend, own_engine: dockerd.Engine, tmp_path: Path
) -> None:
    backend = make_backend()
    assert backend.infer(PROBE, tell("hello"), 60).cold_start is not None
    processes.stop((own_engine.process,))

    began = time.monotonic()
    with pytest.raises(BackendFault, match="DOCKER_HOST") as caught:
        backend.infer(PROBE, tell("hello"), 60)
    assert caught.value.error_class == "unreachable"
    assert time.monotonic() - began < 15
    health = backend.health()
    assert not health.ok
    assert "DOCKER_HOST" in (health.reason or "")

    again = dockerd.launch(tmp_path, own_engine.mark, own_engine.bridge, own_engine.exec_root)
    assert again.url == own_engine.url
    assert backend.health().ok
    assert backend.infer(PROBE, tell("hello"), 60).cold_start is not None


def _context() -> io.BytesIO:
    context = io.BytesIO()
    dockerfile = f'FROM {TAG}\nCOPY server.py /server.py\nCMD ["python3", "/server.py"]\n'.encode()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in (("Dockerfile", dockerfile), ("server.py", _SERVER)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    context.seek(0)
    return context
