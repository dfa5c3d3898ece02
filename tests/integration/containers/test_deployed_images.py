"""An image is tested before its deployment is announced; the pool may run a deployed image at once."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from modelkit.cli import main
from modelkit.deployment.errors import NotReady
from modelkit.deployment.images import check_image_starts
from outcomes.db.database import connected
from outcomes.registry.registry import read_deployed
from script.docker_engine.docker_engine import ROOT, base
from script.docker_engine.model_image import provide_wheels
from straightline.models.catalogue import Catalogue
from straightline.models.registry_view import RegistryView
from tests.integration.containers.bundles import write_probe
from tests.integration.containers.conftest import FIRST_TIME
from workers.backends.gpu_container import create
from workers.protocol.errors import BackendFault

pytestmark = [pytest.mark.integration, pytest.mark.docker, FIRST_TIME]

TEMPLATE = "straightline-test-deployed/{model}:{version}"


@pytest.fixture
def environ(
    docker_engine: Mapping[str, str],
    role_urls: dict[str, str],
    user_urls: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, str]]:
    """The settings of the deployer and the pool; created images are removed again."""
    (tmp_path / "models").mkdir()
    settings = {
        **docker_engine,
        "STRAIGHTLINE_MODELS_DIR": str(tmp_path / "models"),
        "STRAIGHTLINE_DEPLOY_DATABASE_URL": role_urls["deployer"],
        "STRAIGHTLINE_DEPLOY_BROKER_URL": user_urls["deployer"],
        "STRAIGHTLINE_DEPLOY_PATIENCE": "60",
        "STRAIGHTLINE_CONTAINER_DRIVER": "docker",
        "STRAIGHTLINE_CONTAINER_IMAGE": TEMPLATE,
        "STRAIGHTLINE_CONTAINER_DIGESTS": "sha256:" + "0" * 64,
        "STRAIGHTLINE_CONTAINER_MEMORY": str(256 * 1024**2),
        "STRAIGHTLINE_RUN": "tests",
        "STRAIGHTLINE_BASE_IMAGE": base(ROOT, docker_engine),
        "STRAIGHTLINE_WHEELHOUSE": str(provide_wheels(ROOT / ".straightline" / "cache")),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield settings
    client = docker.from_env(environment=dict(docker_engine))
    for image in client.images.list("straightline-test-deployed/*"):
        for tag in image.tags:
            if tag.startswith("straightline-test-deployed/"):
                client.images.remove(tag, force=True)
    client.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def bundle(work: Path, code: str | None = None) -> str:
    write_probe(work, **({} if code is None else {"code": code}))
    return str(work / "probe" / "1")


def test_a_deployed_image_runs_without_an_entry_in_the_allowlist(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, record = run(capsys, "deploy", "--bundle", bundle(tmp_path / "b"), "--on", "gpu-container")
    assert code == 0, record
    with connected(environ["STRAIGHTLINE_DEPLOY_DATABASE_URL"]) as connection:
        known = RegistryView(Catalogue({}), read_deployed(connection))
    model = known.find("probe")
    assert model is not None
    assert model.backends == ("gpu-container",)
    backend = create(environ)
    try:
        body = b'{"inputs": [{"name": "do", "shape": [1], "datatype": "BYTES", "data": ["hello"]}]}'
        with pytest.raises(BackendFault, match="STRAIGHTLINE_CONTAINER_DIGESTS"):
            backend.infer(model, body, 60.0)
        backend.update_deployments(known)
        assert backend.models() == ["probe"]
        assert backend.infer(model, body, 60.0).cold_start is not None
        client = docker.from_env(environment=environ)
        client.images.get(environ["STRAIGHTLINE_BASE_IMAGE"]).tag(TEMPLATE.format(model="probe", version="1"))
        other = create(environ | {"STRAIGHTLINE_RUN": "others"})
        other.update_deployments(known)
        assert other.models() == ["probe"]
        try:
            assert other.infer(model, body, 60.0).cold_start is not None, "started by its id, not by the name"
        finally:
            other.close()
        client.images.get(record["image"]).tag(TEMPLATE.format(model="probe", version="1"))
        # The same files give the same image: its other names must stay.
        client.images.get(record["image"]).tag("straightline-test-others/probe", "1")
        # Its container still runs: so the image loses its name, and no other container starts.
        assert run(capsys, "remove", "probe", "--all", "--grace", "0")[0] == 0
        assert client.images.list(TEMPLATE.format(model="probe", version="1")) == []
        assert client.images.get("straightline-test-others/probe:1").id == record["image"]
    finally:
        backend.close()
    client.images.remove("straightline-test-others/probe:1", force=True)
    client.close()


def test_an_image_that_does_not_become_ready_is_not_deployed_and_leaves_nothing(
    environ: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_there = (
        "import os, time\n"
        "if os.path.isdir('/srv/straightline'):\n"
        "    print('waiting for ever', flush=True)\n"
        "    time.sleep(3600)\n"
        "def predict(tensors):\n    return {'said': tensors['do']}\n"
    )
    monkeypatch.setenv("STRAIGHTLINE_DEPLOY_PATIENCE", "5")
    code, record = run(
        capsys, "deploy", "--bundle", bundle(tmp_path / "b", only_there), "--on", "gpu-container"
    )
    assert (code, "did not become ready within 5 s" in record["error"]) == (11, True), record
    assert "waiting for ever" in record["error"]
    with connected(environ["STRAIGHTLINE_DEPLOY_DATABASE_URL"]) as connection:
        assert read_deployed(connection).models == {}
    client = docker.from_env(environment=environ)
    assert client.images.list(TEMPLATE.format(model="probe", version="1")) == []
    assert client.containers.list(all=True, filters={"label": "straightline.trial"}) == []
    client.close()


def test_an_exited_image_is_reported_with_the_end_of_its_log(
    images: str, docker_engine: Mapping[str, str]
) -> None:
    with pytest.raises(NotReady, match=r"exits at its start \(exit code"):
        check_image_starts(images.format(model="broken", version="1"), "broken 1", 60.0, docker_engine)
