"""What holds for training and validation, in containers as in child processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import docker
import pytest

from model_server.models.bundle import content_digest
from modelkit.jobs.child import ChildRuntime
from modelkit.jobs.container import LABEL, ContainerRuntime
from modelkit.jobs.job import JobFailed, JobRefused, Runtime
from modelkit.project import assemble
from modelkit.training import train
from modelkit.validation import BelowMinimum, require_validated, validate
from tests.integration.containers.conftest import FIRST_TIME, ROOT
from tests.integration.containers.projects import Heard, project_that

pytestmark = pytest.mark.integration

DOCKER = pytest.param("docker", marks=[pytest.mark.docker, FIRST_TIME])
FINE = "report(1, 1, 'done')"


@pytest.fixture
def image(images: str) -> str:
    """A model's image has all that such a project needs: Python, numpy and the server's packages."""
    return images.format(model="probe", version="1")


@pytest.fixture(params=["local", DOCKER])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    environ = {**os.environ, "STRAIGHTLINE_BROKER_URL": "amqp://someone:secret@127.0.0.1/"}
    if request.param == "local":
        return ChildRuntime(environ)
    engine: Mapping[str, str] = request.getfixturevalue("docker_engine")
    image = str(request.getfixturevalue("image"))
    return ContainerRuntime(image, {**environ, **engine}, "--image", 64 * 1024**2)


def test_a_project_is_trained_and_validated_with_a_live_log(runtime: Runtime, tmp_path: Path) -> None:
    body = "print('epoch one'); report(1, 2, 'half'); print('no newline', end=''); report(2, 2, 'whole')"
    project = project_that(body, tmp_path / "project")
    heard = Heard()
    record = train(project, runtime, heard)
    assert heard.lines == ["epoch one", "no newline"]
    assert heard.steps == [(1, 2, "half"), (2, 2, "whole")]
    bundle = assemble(project)
    assert record.bundle == content_digest(bundle)
    found = validate(project, bundle, runtime, Heard())
    assert found.metrics["r2"] > 0.99
    assert require_validated(project, bundle) == found
    assert not list(project.build.glob(".*")), "nothing is left of the work"


@pytest.mark.parametrize(
    ("body", "limits", "expected"),
    [
        ("raise ValueError('no data')", "", ("failed", "raised ValueError: no data")),
        ("sys.exit(3)", "", ("exited", "exit code 3")),
        ("os._exit(0)", "", ("exited", "exit code 0 before it returned")),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "", ("killed", "SIGSEGV")),
        (
            "held = [bytearray(b'x') * (1 << 20) for _ in range(4096)]",
            "memory = 128",
            ("out_of_memory", "128 MiB"),
        ),
        ("time.sleep(3600)", "timeout = 1.0", ("timed_out", "exceeded 1 s. Raise timeout in [train]")),
    ],
)
def test_each_way_to_fail_is_reported_and_the_earlier_model_stays(
    runtime: Runtime, tmp_path: Path, body: str, limits: str, expected: tuple[str, str]
) -> None:
    project = project_that(body, tmp_path / "project", limits=limits)
    project.training_output.mkdir(parents=True)
    (project.training_output / "weights.npy").write_bytes(b"of before")
    with pytest.raises(JobFailed) as caught:
        train(project, runtime, Heard())
    how, message = expected
    assert caught.value.result.status == how
    assert message in str(caught.value)
    assert (project.training_output / "weights.npy").read_bytes() == b"of before"


def test_a_job_has_no_secret_of_its_caller(runtime: Runtime, tmp_path: Path) -> None:
    heard = Heard()
    train(project_that("print(sorted(os.environ.values()))", tmp_path / "project"), runtime, heard)
    assert "secret" not in str(heard.lines)


def test_a_figure_below_the_minimum_is_kept_and_refused(runtime: Runtime, tmp_path: Path) -> None:
    project = project_that(FINE, tmp_path / "project")
    train(project, runtime, Heard())
    (project.training_output / "weights.npy").write_bytes(
        (project.training_output / "weights.npy")
        .read_bytes()
        .replace(b"\x00\x00\x80\x3f", b"\x00\x00\x00\xc2")
    )
    with pytest.raises(BelowMinimum, match=r"its r2 is -[\d.]+, below the minimum 0.9"):
        validate(project, assemble(project), runtime, Heard())
    assert '"accepted": false' in (project.build / "metrics.json").read_text()
    with pytest.raises(BelowMinimum):
        require_validated(project, assemble(project))


@pytest.mark.parametrize("where", ["local", DOCKER])
def test_a_terminated_command_ends_its_job(
    request: pytest.FixtureRequest, where: str, tmp_path: Path
) -> None:
    environ = dict(os.environ)
    options = ["--runtime", where]
    if where == "docker":
        environ |= request.getfixturevalue("docker_engine")
        options += ["--image", request.getfixturevalue("image")]
    body = "print(os.getpid(), flush=True); time.sleep(3600)"
    project = project_that(body, tmp_path / "project")
    command = [sys.executable, "-m", "modelkit", "train", str(project.directory), *options]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        pid = int(process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    if where == "local":
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline, "the training goes on"
            time.sleep(0.02)
    else:
        client = docker.from_env(environment=environ)
        assert client.containers.list(all=True, filters={"label": LABEL}) == []
        client.close()
    assert not project.training_output.exists()


@pytest.mark.docker
@FIRST_TIME
def test_a_container_has_no_network_and_writes_only_its_output_and_tmp(
    docker_engine: Mapping[str, str], image: str, tmp_path: Path
) -> None:
    body = (
        "print([name for _, name in socket.if_nameindex()])\n"
        "    for place in ('/project/x', '/code/x', '/x', '/tmp/x', '/output/x'):\n"
        "        try: pathlib.Path(place).touch(); print(place, 'written')\n"
        "        except OSError as error: print(place, error.strerror)"
    )
    heard = Heard()
    runtime = ContainerRuntime(image, docker_engine, "--image", 1024**2)
    train(project_that(body, tmp_path / "project"), runtime, heard)
    assert heard.lines == [
        "['lo']",
        *(f"{place} Read-only file system" for place in ("/project/x", "/code/x", "/x")),
        "/tmp/x written",  # noqa: S108 - inside of the container
        "/output/x written",
    ]


@pytest.mark.docker
@FIRST_TIME
def test_a_missing_capability_of_the_engine_is_reported_with_the_remedy(
    docker_engine: Mapping[str, str], image: str, tmp_path: Path
) -> None:
    project = project_that(FINE, tmp_path / "project", limits="gpus = 1")
    with pytest.raises(JobRefused, match="Install NVIDIA's container toolkit, or set gpus = 0"):
        train(project, ContainerRuntime(image, docker_engine, "--image", 1024**2), Heard())
    plain = project_that(FINE, tmp_path / "plain")
    with pytest.raises(JobRefused, match=r"no image absent/image:1. Pull or build it, or choose another"):
        train(plain, ContainerRuntime("absent/image:1", docker_engine, "--image", 1024**2), Heard())


def test_without_an_engine_the_other_runtime_is_named(tmp_path: Path) -> None:
    project = project_that(FINE, tmp_path / "project")
    environ = {"DOCKER_HOST": f"unix://{tmp_path}/nothing.sock"}
    with pytest.raises(JobRefused, match="--runtime local"):
        train(project, ContainerRuntime("any", environ, "--image", 1024**2), Heard())
