"""The confinement of a container, asked of the engine and tried from inside."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import pytest

from script.docker_engine.model_image import build_image
from tests.integration.containers.bundles import PROBE, said, tell
from tests.integration.containers.conftest import FIRST_TIME, DockerInspector, MakeBackend
from workers.protocol.errors import BackendFault

pytestmark = [pytest.mark.integration, pytest.mark.docker, FIRST_TIME]


@pytest.fixture
def driver() -> str:
    return "docker"


@pytest.fixture
def client(environ: dict[str, str]) -> Iterator[docker.DockerClient]:
    made = docker.from_env(environment=dict(environ))
    yield made
    made.close()


def test_the_engine_applies_the_confinement(
    make_backend: MakeBackend, environ: dict[str, str], client: docker.DockerClient
) -> None:
    backend = make_backend(container_cpus=0.5, container_pids=64)
    backend.infer(PROBE, tell("hello"), 60)
    inspector = DockerInspector(environ)
    (server,) = inspector.servers()
    inspector.close()
    facts = client.containers.get(server).attrs
    host = facts["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"]
    assert host["Memory"] == host["MemorySwap"] == 256 * 1024**2
    assert host["NanoCpus"] == 500_000_000
    assert host["PidsLimit"] == 64
    assert host["Binds"] in (None, [])
    assert facts["Config"]["User"] == "65532:65532"
    published = [place for places in facts["NetworkSettings"]["Ports"].values() for place in places or ()]
    assert [place["HostIp"] for place in published] == ["127.0.0.1"]
    labels = facts["Config"]["Labels"]
    assert (labels["straightline.model"], labels["straightline.version"]) == ("probe", "1")
    assert labels["straightline.bundle.digest"].startswith("sha256:")


def test_the_model_finds_itself_confined(make_backend: MakeBackend) -> None:
    answer = make_backend().infer(PROBE, tell("look"), 60)
    found = said(answer.body)
    assert isinstance(found, dict)
    assert found["uid"] == 65532
    assert {int(caps, 16) for caps in found["capabilities"]} == {0}
    assert found["no_new_privileges"]
    assert found["root"] == "Read-only file system"
    assert found["code"] == "Read-only file system"
    assert found["tmp"] == "written"
    assert found["setuid"] == "Operation not permitted"


def test_the_container_has_no_secret_of_the_worker(make_backend: MakeBackend) -> None:
    backend = make_backend(broker_url="amqp://someone:secret@127.0.0.1/")
    environment = said(backend.infer(PROBE, tell("environment"), 60).body)
    assert "secret" not in str(environment)


def test_a_model_over_its_memory_limit_is_out_of_memory_and_the_next_request_succeeds(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend()
    backend.infer(PROBE, tell("hello"), 60)
    with pytest.raises(BackendFault, match="STRAIGHTLINE_CONTAINER_MEMORY") as caught:
        backend.infer(PROBE, tell("devour"), 60)
    assert caught.value.error_class == "out_of_memory"
    assert backend.infer(PROBE, tell("hello"), 60).body


def test_rebuilding_a_bundle_gives_the_same_image(
    docker_engine: Mapping[str, str], models_dir: Path, images: str, client: docker.DockerClient
) -> None:
    tag = images.format(model="probe", version="1")
    before = client.images.get(tag).id
    assert build_image(models_dir / "probe" / "1", tag, docker_engine) == before


def test_an_image_outside_the_allowlist_is_not_run(
    make_backend: MakeBackend, client: docker.DockerClient
) -> None:
    """Neither as it is, nor when the name of a listed one leads to it later."""
    listed = str(client.images.get("straightline-test/probe:1").id)
    backend = make_backend(container_digests=listed)
    assert backend.infer(PROBE, tell("hello"), 60).body
    assert backend.models() == ["probe"]
    with pytest.raises(BackendFault, match="STRAIGHTLINE_CONTAINER_DIGESTS does not list") as refused:
        make_backend(container_digests="sha256:" + "0" * 64).infer(PROBE, tell("hello"), 60)
    assert refused.value.error_class == "not_deployed"
    client.images.get("straightline-test/broken:1").tag("straightline-test/probe", "1")
    try:
        with pytest.raises(BackendFault, match="does not list"):
            make_backend(container_digests=listed).infer(PROBE, tell("hello"), 60)
    finally:
        client.images.get(listed).tag("straightline-test/probe", "1")
