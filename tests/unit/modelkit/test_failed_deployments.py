"""Failed deployments and removals with targets that a test cannot run."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import docker
import pytest
from botocore.exceptions import WaiterError
from docker.errors import APIError, ImageNotFound

import outcomes.db.database
import outcomes.registry.checks
import outcomes.registry.deployments
import outcomes.registry.registry
from modelkit.cli import remove
from modelkit.deployment import functions, images
from modelkit.deployment.errors import NotPlaced, NotReady
from straightline.errors import ConfigurationError

NAME = "straightline/m:1"
CANDIDATE: Any = SimpleNamespace(
    bundle=SimpleNamespace(spec=SimpleNamespace(name="m", version="1")), title="m 1", digest="sha256:ab"
)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    client = MagicMock()
    monkeypatch.setattr(docker, "from_env", lambda **_: client)
    return client


def place(built: str) -> images.ImageTarget:
    return images.ImageTarget(lambda _: (NAME, built), {}, 1.0, tag="straightline/{model}:{version}")


@pytest.mark.parametrize("built", ["sha256:old", "sha256:new"])
def test_a_failed_redeployment_restores_the_image_name(
    engine: MagicMock, monkeypatch: pytest.MonkeyPatch, built: str
) -> None:
    named = {NAME: SimpleNamespace(id="sha256:old"), "sha256:new": SimpleNamespace(tags=[])}
    engine.images.get.side_effect = named.__getitem__
    monkeypatch.setattr(images, "check_image_starts", MagicMock(side_effect=NotReady("slow")))
    with pytest.raises(NotReady):
        place(built).deploy(CANDIDATE)
    removed = [call.args[0] for call in engine.images.remove.call_args_list]
    assert removed == ([] if built == "sha256:old" else ["sha256:new"])
    assert engine.api.tag.called == (built != "sha256:old")


@pytest.mark.parametrize("name", ["straightline/m", "host:5000/m", "straightline/m:1"])
def test_an_image_is_removed_by_its_own_name(engine: MagicMock, name: str) -> None:
    whole = name if name.endswith(":1") else f"{name}:latest"
    engine.images.get.return_value = SimpleNamespace(tags=[whole, "others/m:1"])
    version: Any = SimpleNamespace(image="sha256:new", spec=CANDIDATE.bundle.spec)
    images.ImageTarget(lambda _: (name, "sha256:new"), {}, 1.0, tag=name).remove(version)
    assert [call.args[0] for call in engine.images.remove.call_args_list] == [name]


def test_an_unstartable_image_leaves_no_container_and_no_name(engine: MagicMock) -> None:
    there = SimpleNamespace(tags=[NAME])
    engine.images.get.side_effect = [ImageNotFound("none yet"), there]
    engine.containers.create.return_value.start.side_effect = APIError("no such program")
    with pytest.raises(NotPlaced, match="no such program"):
        place("sha256:new").deploy(CANDIDATE)
    assert engine.containers.create.return_value.remove.called
    assert [call.args[0] for call in engine.images.remove.call_args_list] == [NAME]


def test_an_inactive_new_function_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, package = MagicMock(), tmp_path / "package.zip"
    package.write_bytes(b"")
    client.get_waiter.return_value.wait.side_effect = WaiterError("FunctionActiveV2", "failed", {})
    monkeypatch.setattr(functions, "_settings", lambda _: {})
    monkeypatch.setattr("boto3.session.Session.client", lambda *_, **__: client)
    client.meta.endpoint_url = "http://127.0.0.1:1"
    with pytest.raises(NotPlaced):
        functions.FunctionTarget(lambda *_: package, role=None, ready_timeout=1.0).deploy(CANDIDATE)
    assert client.create_function.called
    assert client.delete_function.called


def test_the_registry_is_unchanged_if_a_target_is_misconfigured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def nothing(*_: object, **__: object) -> Iterator[MagicMock]:
        yield MagicMock()

    version = SimpleNamespace(spec=SimpleNamespace(version="1", backends=("local",)))
    take_out = MagicMock()
    monkeypatch.setattr(outcomes.db.database, "connected", nothing)
    monkeypatch.setattr(outcomes.registry.checks, "deployment_lock", nothing)
    monkeypatch.setattr(outcomes.registry.deployments, "take_out", take_out)
    monkeypatch.setattr(
        outcomes.registry.registry,
        "deployed_versions",
        lambda *_: [SimpleNamespace(version="1", deployed=version)],
    )
    environ = {
        "STRAIGHTLINE_MODELS_DIR": str(tmp_path),
        "STRAIGHTLINE_BROKER_URL": "amqp://x",
        "STRAIGHTLINE_DATABASE_URL": "postgresql://x",
    }
    with pytest.raises(ConfigurationError, match="STRAIGHTLINE_LOCAL_URL"):
        remove.run(Namespace(model="m", version="1", all=False, grace=0.0), environ)
    assert not take_out.called
