"""From `modelkit new` to an answered request, through versions, a canary and back; nothing is restarted."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from script.docker_engine.docker_engine import engine
from script.docker_engine.model_image import provide_wheels
from script.support import processes
from script.support.errors import StackError
from script.support.run import runs
from straightline import names
from straightline.client import Client

pytestmark = [pytest.mark.integration, pytest.mark.acceptance, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]


class Deployer:
    """A person with a model, beside a stack that runs."""

    def __init__(self, environ: Mapping[str, str], work: Path) -> None:
        self.environ = {**environ, "PYTHONPATH": str(ROOT)}
        self.work = work

    def kit(self, *arguments: object, code: int = 0) -> Any:
        """Run `python -m modelkit` and return what it prints."""
        done = self._run("modelkit", *arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)

    def ask(self, *arguments: object) -> Any:
        """Run `python -m straightline submit` with the project's own request; return the outcome."""
        request = self.work / "plane" / "request.json"
        words = ("submit", "--model", "plane", "--input", request, "--wait", "--timeout", "60", "--json")
        return json.loads(self._run("straightline", *words, *arguments).stdout)

    def version(self, version: str) -> Path:
        """Make the project's next version."""
        file = self.work / "plane" / "model.toml"
        lines = file.read_text(encoding="utf-8").splitlines()
        changed = [f'version = "{version}"' if line.startswith("version =") else line for line in lines]
        file.write_text("\n".join([*changed, ""]), encoding="utf-8")
        self.kit("validate", file.parent, "--runtime", "local")
        return file.parent

    def _run(self, module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=self.work,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def given(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What the environment says of the containers."""
    if request.param == "process":
        yield {"STRAIGHTLINE_CONTAINER_DRIVER": "process"}
        return
    try:
        with engine() as added:
            wheels = provide_wheels(ROOT / ".straightline" / "cache")
            yield {"STRAIGHTLINE_CONTAINER_DRIVER": "docker", "STRAIGHTLINE_WHEELHOUSE": str(wheels), **added}
    except StackError as error:
        if os.environ.get("STRAIGHTLINE_TEST_DOCKER") == "required":
            raise
        pytest.skip(f"no Docker engine: {error}")


@pytest.fixture
def deployer(
    command: Callable[..., subprocess.CompletedProcess[str]],
    given: dict[str, str],
    environment: dict[str, str],
    state: Path,
    tmp_path: Path,
) -> Deployer:
    up = command("up", timeout=800, **given)
    assert up.returncode == 0, up.stdout + up.stderr
    lines = (state / "env").read_text().splitlines()
    pairs = [shlex.split(line)[1] for line in lines if line.startswith("export ")]
    return Deployer({**environment, **given, **dict(pair.split("=", 1) for pair in pairs)}, tmp_path)


def test_from_a_new_project_to_its_versions_without_a_restart(deployer: Deployer, state: Path) -> None:
    before = _components(state)
    deployer.kit("new", "plane")
    project = deployer.work / "plane"
    deployer.kit("train", project, "--runtime", "local")
    deployer.kit("validate", project, "--runtime", "local")

    began = time.monotonic()
    first = deployer.kit("deploy", project)
    assert set(first["backends"]) == set(names.BACKENDS)
    for backend in names.BACKENDS:
        outcome = deployer.ask("--allow", backend)
        assert (outcome["state"], outcome["backend"], outcome["version"]) == ("succeeded", backend, "1"), (
            outcome
        )
    assert time.monotonic() - began < 120

    deployer.kit("deploy", deployer.version("2"), "--canary", "50")
    assert 5 < _shares(deployer, 60)["2"] < 55
    assert deployer.ask("--model-version", "1")["version"] == "1"
    for backend in names.BACKENDS:
        pinned = deployer.ask("--model-version", "2", "--allow", backend)
        assert (pinned["state"], pinned["backend"], pinned["version"]) == ("succeeded", backend, "2"), pinned
    _the_list_shows_both(deployer)

    _a_broken_version_changes_nothing(deployer)

    assert deployer.kit("rollback", "plane")["ended_canary"] == "2"
    assert _shares(deployer, 20) == {"1": 20}
    assert deployer.kit("deploy", project)["default"] == "2"
    assert _shares(deployer, 20) == {"2": 20}
    assert deployer.kit("rollback", "plane")["default"] == "1"
    assert _shares(deployer, 20) == {"1": 20}
    assert _over_http(deployer) == "1"

    deployer.kit("remove", "plane", "2", "--grace", "1")
    assert deployer.ask("--model-version", "2")["error_class"] == "unknown_version"
    assert deployer.ask()["state"] == "succeeded"
    assert _components(state) == before, "nothing was started again"


def _the_list_shows_both(deployer: Deployer) -> None:
    deadline = time.monotonic() + 30  # the last outcomes are on their way to the ledger
    while True:
        rows = {row["version"]: row for row in deployer.kit("list", "plane")["versions"]}
        if all(row["rate"]["outcomes"] for row in rows.values()):
            break
        assert time.monotonic() < deadline, rows
        time.sleep(0.2)
    assert {row["role"] for row in rows.values()} == {"default", "canary"}
    assert {row["share"] for row in rows.values()} == {50.0}
    assert {row["rate"]["failure_rate"] for row in rows.values()} == {0.0}


def _a_broken_version_changes_nothing(deployer: Deployer) -> None:
    listed = deployer.kit("list", "plane")["versions"]
    broken = deployer.work / "broken"
    broken.mkdir()
    bundle = deployer.work / "plane" / "build" / "bundle"
    (broken / "model.toml").write_text((bundle / "model.toml").read_text().replace('"2"', '"3"', 1))
    (broken / "model.onnx").write_bytes(b"this is no model")
    refused = deployer.kit("deploy", "--bundle", broken, code=11)
    assert "plane 3 cannot be loaded" in refused["error"]
    refused = deployer.kit("deploy", "--bundle", bundle, "--digest", "sha256:" + "0" * 64, code=10)
    assert "it has changed since it was built" in refused["error"]
    after = deployer.kit("list", "plane")["versions"]
    assert [(row["version"], row["digest"]) for row in after] == [
        (row["version"], row["digest"]) for row in listed
    ]
    assert deployer.ask("--model-version", "3")["error_class"] == "unknown_version"


def _shares(deployer: Deployer, count: int) -> Counter[str]:
    """Count which versions answer requests that pin none."""
    data = json.loads((deployer.work / "plane" / "request.json").read_text())
    with Client(deployer.environ["STRAIGHTLINE_BROKER_URL"]) as client:
        ids = [client.submit("plane", data) for _ in range(count)]
        outcomes = [client.result(each, timeout=60) for each in ids]
    assert {outcome.state for outcome in outcomes} == {"succeeded"}
    return Counter(outcome.version or "" for outcome in outcomes)


def _over_http(deployer: Deployer) -> str:
    answer = requests.post(
        f"{deployer.environ['STRAIGHTLINE_GATEWAY_URL']}/v2/models/plane/infer",
        data=(deployer.work / "plane" / "request.json").read_bytes(),
        headers={"Authorization": f"Bearer {deployer.environ['STRAIGHTLINE_API_KEY']}"},
        timeout=60,
    )
    assert answer.ok, answer.text
    return str(answer.json()["model_version"])


def _components(state: Path) -> list[processes.Process]:
    """Return the processes that `script/up` started, all of which live."""
    (run,) = runs(state)
    assert all(process.alive() for process in run.started)
    return run.started
