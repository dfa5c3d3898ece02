"""Changes of the registry are atomic, and every listener gets them."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pika
import pytest
from sqlalchemy import Connection, create_engine

from broker_config.apply import apply
from outcomes.db.database import connected
from outcomes.db.errors import CommitUncertain, LedgerUnavailable, OtherDigest, RegistryRefused
from outcomes.registry import commit_check
from outcomes.registry.announcer import Announcer
from outcomes.registry.checks import deployment_lock
from outcomes.registry.deployments import record, roll_back, take_out
from outcomes.registry.registry import deployed_versions, find_version, read_deployed
from outcomes.registry.stream_monitor import RegistryStreamMonitor
from straightline import names
from straightline.amqp.consuming.deployments import DeploymentStream
from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts import ModelSpec, TensorSpec
from straightline.contracts.deployed import Deployed, DeployedVersion
from straightline.messages.streams import deployed_message
from tests.integration.outcomes.lost_commits import lost_at_commit

pytestmark = pytest.mark.integration


def version(name: str, digest: str = "a", model: str = "m") -> DeployedVersion:
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
    spec = ModelSpec(
        name=model, version=name, inputs=(tensor,), outputs=(tensor,), max_payload={"serverless": 5}
    )
    return DeployedVersion(spec=spec, digest=f"sha256:{digest}", image="sha256:i", function="f")


@pytest.fixture
def ledger(role_urls: dict[str, str]) -> Iterator[Connection]:
    """Connect as the role that deploys."""
    with connected(role_urls["deployer"]) as connection:
        yield connection


def default_of(deployed: Deployed, model: str = "m") -> str | None:
    return deployed.models[model].default


def test_versions_are_deployed_side_by_side(ledger: Connection) -> None:
    record(ledger, version("1"), who="ann")
    deployed = record(ledger, version("2", "b"), who="bob")
    assert deployed == read_deployed(ledger)
    assert default_of(deployed) == "2"
    assert deployed.models["m"].versions["1"] == version("1")
    assert [(each.version, each.role, each.deployed_by) for each in deployed_versions(ledger)] == [
        ("1", "previous", "ann"),
        ("2", "default", "bob"),
    ]


def test_a_version_does_not_change(ledger: Connection) -> None:
    before = record(ledger, version("1"), who="ann")
    with pytest.raises(OtherDigest, match="another `version`"):
        record(ledger, version("1", "b"), who="ann")
    ledger.rollback()
    assert read_deployed(ledger) == before
    again = record(ledger, version("1"), who="ann")
    assert (again.models, again.revision > before.revision) == (before.models, True)


def test_a_first_deployment_adopts_earlier_versions_for_a_rollback(ledger: Connection) -> None:
    record(ledger, version("2"), who="ann", adopted=[version("0"), version("1")])
    assert default_of(roll_back(ledger, "m", who="ann")) == "1"
    assert find_version(ledger, "m", "0") is not None


def test_a_canary_has_its_share_until_it_is_rolled_back(ledger: Connection) -> None:
    record(ledger, version("1"), who="ann")
    deployed = record(ledger, version("2"), who="ann", share=10)
    assert (default_of(deployed), deployed.models["m"].canary, deployed.models["m"].share) == ("1", "2", 10)
    assert [(each.role, each.share) for each in deployed_versions(ledger)] == [
        ("default", 90),
        ("canary", 10),
    ]
    ended = roll_back(ledger, "m", who="ann").models["m"]
    assert (ended.default, ended.canary, set(ended.versions)) == ("1", None, {"1", "2"})


def test_a_version_that_is_not_the_default_gets_only_pinned_requests(ledger: Connection) -> None:
    record(ledger, version("1"), who="ann")
    assert default_of(record(ledger, version("2"), who="ann", default=False)) == "1"


def test_a_version_or_a_whole_model_is_removed(ledger: Connection) -> None:
    record(ledger, version("1"), who="ann")
    record(ledger, version("2"), who="ann")
    with pytest.raises(RegistryRefused, match="roll back"):
        take_out(ledger, "m", "2", who="ann")
    ledger.rollback()
    deployed, gone = take_out(ledger, "m", "1", who="ann")
    assert (set(deployed.models["m"].versions), gone) == ({"2"}, [version("1")])
    deployed, _ = take_out(ledger, "m", None, who="ann")
    assert deployed.models["m"].default is None
    assert deployed.models["m"].versions == {}
    with pytest.raises(RegistryRefused, match="not in the registry"):
        take_out(ledger, "m", "2", who="ann")


def test_concurrent_deployments_are_atomic(role_urls: dict[str, str]) -> None:
    def deploy(number: int) -> Deployed:
        with connected(role_urls["deployer"]) as connection:
            return record(connection, version(str(number)), who="ann")

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(deploy, range(12)), key=lambda deployed: deployed.revision)
    assert len({deployed.revision for deployed in answers}) == 12
    assert [len(deployed.models["m"].versions) for deployed in answers] == list(range(1, 13))


def test_a_model_has_one_deployment_at_a_time(role_urls: dict[str, str], ledger: Connection) -> None:
    with connected(role_urls["deployer"]) as other:
        with deployment_lock(ledger, "m"):
            with pytest.raises(RegistryRefused, match="somebody else"), deployment_lock(other, "m"):
                pass
            with deployment_lock(other, "another"):
                record(ledger, version("1"), who="ann")
        with deployment_lock(other, "m"):
            pass


Listen = Callable[[], list[Deployed]]


@pytest.fixture
def listen(broker_url: str) -> Iterator[Listen]:
    readers: list[DeploymentStream] = []

    def start() -> list[Deployed]:
        heard: list[Deployed] = []
        reader = DeploymentStream(broker_url, name="test", on_change=heard.append)
        readers.append(reader)
        reader.start()
        reader.wait()
        return heard

    yield start
    for reader in readers:
        reader.close()


def wait_for(heard: list[Deployed], revision: int) -> Deployed:
    deadline = time.monotonic() + 20
    while not heard or heard[-1].revision < revision:
        assert time.monotonic() < deadline, f"revision {revision} was not heard of"
        time.sleep(0.02)
    return heard[-1]


def test_a_late_reader_gets_the_last_announcement_and_ignores_older_ones(
    broker_url: str, listen: Listen
) -> None:
    with Publisher(broker_url, name="test") as publisher:
        early = listen()
        assert early == []
        for revision in (1, 3, 2):
            publisher.publish(deployed_message(Deployed(revision=revision, models={}))).result()
        assert [each.revision for each in listen()] == [1, 3]
        wait_for(early, 3)


@pytest.fixture
def announcing(user_urls: dict[str, str], role_urls: dict[str, str]) -> Iterator[None]:
    """Run the reconciler's announcer with its own rights."""
    engine = create_engine(role_urls["reconciler"])
    overheard = RegistryStreamMonitor(user_urls["reconciler"])
    overheard.start()
    with Publisher(user_urls["reconciler"], name="test") as publisher:
        announcer = Announcer(engine, publisher, overheard.revision, interval=0.05)
        thread = threading.Thread(target=announcer.run)
        thread.start()
        yield
        announcer.stop()
        thread.join(10)
    overheard.close()
    with suppress(Exception):
        engine.dispose()


@pytest.mark.usefixtures("announcing")
def test_the_reconciler_announces_a_change_that_its_deployer_did_not(
    ledger: Connection, listen: Listen
) -> None:
    heard = listen()
    wait_for(heard, 0)
    deployed = record(ledger, version("1"), who="ann")
    assert wait_for(heard, deployed.revision) == deployed


@pytest.mark.usefixtures("announcing")
def test_the_reconciler_announces_to_a_recreated_broker_at_once(
    broker_url: str, ledger: Connection, listen: Listen
) -> None:
    deployed = record(ledger, version("1"), who="ann")
    wait_for(listen(), deployed.revision)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_delete(names.DEPLOYED_STREAM)
    apply(broker_url)
    assert wait_for(listen(), deployed.revision) == deployed


def test_a_registry_restored_from_an_older_backup_is_followed_again(
    broker_url: str, ledger: Connection, listen: Listen, request: pytest.FixtureRequest
) -> None:
    old = record(ledger, version("1"), who="ann")
    with Publisher(broker_url, name="test") as publisher:
        publisher.publish(deployed_message(Deployed(revision=old.revision + 9, models={}))).result()
        heard = listen()
        wait_for(heard, old.revision + 9)
        request.getfixturevalue("announcing")
        assert wait_for(heard, old.revision + 10).models == old.models
        deployed = record(ledger, version("2"), who="ann")
        publisher.publish(deployed_message(deployed)).result()
        assert wait_for(heard, old.revision + 11) == deployed


def test_a_change_is_verified_after_a_connection_lost_at_commit(
    ledger: Connection, migrated_database_url: str
) -> None:
    first = record(ledger, version("1"), who="ann")
    with lost_at_commit(migrated_database_url, stands=True):
        second = record(ledger, version("2", "b"), who="ann")
        assert second == read_deployed(ledger)
        back = roll_back(ledger, "m", who="ann")
        assert default_of(back) == "1"
        left, gone = take_out(ledger, "m", "2", who="ann")
        assert [each.spec.version for each in gone] == ["2"]
    assert left == read_deployed(ledger)
    assert left.models == first.models
    ledger.rollback()
    with lost_at_commit(migrated_database_url, stands=False), pytest.raises(LedgerUnavailable) as fault:
        record(ledger, version("2", "b"), who="ann")
    assert not isinstance(fault.value, CommitUncertain)
    ledger.rollback()
    assert read_deployed(ledger) == left


def test_an_unverifiable_change_does_not_count_as_failed(
    ledger: Connection, migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_check, "VERIFY_TIMEOUT_S", 0.0)
    with (
        lost_at_commit(migrated_database_url, stands=True, back=False),
        pytest.raises(CommitUncertain, match="nothing is taken back"),
    ):
        record(ledger, version("1"), who="ann")
    ledger.rollback()
    assert default_of(read_deployed(ledger)) == "1"
