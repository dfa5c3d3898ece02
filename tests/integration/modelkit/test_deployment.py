"""A deployment succeeds as a whole, or changes nothing and reports the remedy; no process is restarted."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import create_engine, text

from modelkit.cli import main
from modelkit.package.function import HANDLER
from outcomes.db.database import connected
from outcomes.queries.failures import failures
from outcomes.registry.registry import read_deployed
from straightline.amqp.consuming.deployments import DeploymentStream
from straightline.contracts.deployed import Deployed
from tests.integration.modelkit.processes import FunctionHost, HostMaker, ModelServer, free_port, until
from tests.integration.outcomes.lost_commits import lost_at_commit
from tests.unit.model_server.tomls import TENSORS

pytestmark = pytest.mark.integration

TOML = f"""
name = "m"
version = "{{version}}"
flavour = "python"
entry = "code:run"
timeout = 10.0
backends = {{backends}}
{TENSORS}"""
GOOD = "def run(inputs):\n    return {{'y': inputs['x'] * {factor}}}\n"
EVERYWHERE = ("local", "serverless", "gpu-container")


class Bench:
    """A model server with two processes, a function host, a registry, a broker, and the commands."""

    def __init__(self, work: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        self.work = work
        self.environ = environ
        self.models = Path(environ["STRAIGHTLINE_MODELS_DIR"])
        self._capsys = capsys

    def bundle(self, version: str, code: str = "", *, backends: tuple[str, ...] = EVERYWHERE) -> str:
        directory = self.work / "bundles" / version
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        (directory / "model.toml").write_text(TOML.format(version=version, backends=list(backends)))
        (directory / "code.py").write_text(code or GOOD.format(factor=int(version) + 1))
        return str(directory)

    def run(self, *arguments: str) -> tuple[int, Any]:
        code = main([*arguments, "--json"])
        printed = self._capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, json.loads(printed.out)

    def deploy(self, version: str, *options: str, **bundle: Any) -> tuple[int, Any]:
        return self.run("deploy", "--bundle", self.bundle(version, **bundle), *options)

    def ask(self, version: str) -> float | None:
        """Call the model server; None if it does not serve that version."""
        body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
        url = f"{self.environ['STRAIGHTLINE_LOCAL_URL']}/v2/models/m/versions/{version}/infer"
        answer = requests.post(url, json=body, timeout=30)
        return float(answer.json()["outputs"][0]["data"][0]) if answer.ok else None

    def deployed(self) -> Deployed:
        with connected(self.environ["STRAIGHTLINE_DEPLOY_DATABASE_URL"]) as connection:
            return read_deployed(connection)


@pytest.fixture
def functions(make_host: HostMaker, tmp_path: Path) -> FunctionHost:
    packages = tmp_path / "functions"
    packages.mkdir()
    return make_host(packages, deploy="true")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ModelServer]:
    (tmp_path / "models").mkdir()
    started = ModelServer(tmp_path / "models", {"workers": "2"})
    started.wait_until_ready()
    yield started
    started.stop()


@pytest.fixture
def environ(
    tmp_path: Path,
    server: ModelServer,
    functions: FunctionHost,
    role_urls: dict[str, str],
    user_urls: dict[str, str],
) -> dict[str, str]:
    return {
        "STRAIGHTLINE_MODELS_DIR": str(tmp_path / "models"),
        "STRAIGHTLINE_LOCAL_URL": server.url,
        "STRAIGHTLINE_CONTAINER_DRIVER": "process",
        "STRAIGHTLINE_DEPLOY_DATABASE_URL": role_urls["deployer"],
        "STRAIGHTLINE_DEPLOY_BROKER_URL": user_urls["deployer"],
        "STRAIGHTLINE_DEPLOY_PATIENCE": "20",
        "AWS_ENDPOINT_URL_LAMBDA": functions.url,
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }


@pytest.fixture
def bench(
    tmp_path: Path,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Bench:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return Bench(tmp_path, environ, capsys)


@pytest.fixture
def heard(broker_url: str) -> Iterator[list[Deployed]]:
    """Return the announcements that a scheduler gets."""
    found: list[Deployed] = []
    reader = DeploymentStream(broker_url, name="test", on_change=found.append)
    reader.start()
    reader.wait()
    yield found
    reader.close()


@pytest.fixture
def as_before(bench: Bench, functions: FunctionHost) -> Callable[[], None]:
    """Deploy version 1, and return a check that it is still the only one."""
    assert bench.deploy("1")[0] == 0
    before = bench.deployed()
    there = sorted(path.name for path in functions.packages.iterdir())

    def hold() -> None:
        assert bench.deployed() == before
        assert [path.name for path in (bench.models / "m").iterdir()] == ["1"]
        assert sorted(path.name for path in functions.packages.iterdir()) == there
        assert bench.ask("1") == 2.0

    return hold


def test_versions_are_deployed_side_by_side_and_announced(
    bench: Bench, heard: list[Deployed], functions: FunctionHost
) -> None:
    for version in ("1", "2"):
        code, record = bench.deploy(version)
        assert (code, record["default"], sorted(record["backends"])) == (0, version, sorted(EVERYWHERE))
    until(lambda: len(heard) == 2, "both were announced")
    assert heard[-1] == bench.deployed()
    with ThreadPoolExecutor(8) as pool:  # both processes of the server
        assert set(pool.map(bench.ask, ["1", "2"] * 20)) == {2.0, 3.0}
    names = [each.function or "" for each in heard[-1].models["m"].versions.values()]
    for name, expected in zip(names, (2.0, 3.0), strict=True):
        body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
        answer = functions.client.invoke(FunctionName=name, Payload=json.dumps(body).encode())
        assert json.loads(answer["Payload"].read())["outputs"][0]["data"] == [expected]


def test_a_repeated_deployment_changes_only_the_revision(bench: Bench) -> None:
    first = bench.deploy("1")[1]
    before = bench.deployed().models
    code, again = bench.deploy("1")
    assert (code, again["digest"], again["function"]) == (0, first["digest"], first["function"])
    assert bench.deployed().models == before


def test_a_version_can_be_deployed_to_more_backends_later(bench: Bench) -> None:
    assert bench.deploy("1", "--on", "local")[1]["function"] is None
    record = bench.deploy("1", "--on", "serverless")[1]
    assert record["function"] is not None
    assert set(record["backends"]) == {"local", "serverless"}


def test_a_minimum_is_provisioned_at_the_deployment(bench: Bench, functions: FunctionHost) -> None:
    bundle = Path(bench.bundle("1", backends=("serverless",)))
    with (bundle / "model.toml").open("a") as file:
        file.write("[warm]\nminimum = 1\nmaximum = 2\n")
    code, _ = bench.run("deploy", "--bundle", str(bundle))
    assert code == 0
    function = bench.deployed().models["m"].versions["1"].function
    assert function is not None
    name, _, version = function.partition(":")
    wanted = {"FunctionName": name, "Qualifier": version}
    until(
        lambda: functions.client.get_provisioned_concurrency_config(**wanted)["Status"] == "READY",
        "an instance stands ready",
    )
    answer = functions.client.invoke(FunctionName=function, Payload=b"{}", LogType="Tail")
    assert b"Init Duration" not in base64.b64decode(answer["LogResult"])
    bench.run("remove", "m", "--all", "--grace", "0")
    assert list(functions.packages.iterdir()) == []


class Warm:
    """Bundles with a minimum of instances, and the provisioned concurrency of their functions."""

    def __init__(self, bench: Bench, functions: FunctionHost) -> None:
        self._bench = bench
        self._client = functions.client

    def deploy(self, version: str, *options: str) -> None:
        bundle = Path(self._bench.bundle(version, backends=("serverless",)))
        with (bundle / "model.toml").open("a") as file:
            file.write("[warm]\nminimum = 1\n")
        code, record = self._bench.run("deploy", "--bundle", str(bundle), *options)
        assert code == 0, record

    def wanted(self) -> dict[str, int]:
        """Return the provisioned instances of each version's function."""
        found = {}
        for version, each in self._bench.deployed().models["m"].versions.items():
            name, _, published = (each.function or "").partition(":")
            assert published, "it is invoked by its version, provisioned or not"
            listed = self._client.list_provisioned_concurrency_configs(FunctionName=name)
            configs = listed["ProvisionedConcurrencyConfigs"]
            found[version] = sum(config["RequestedProvisionedConcurrentExecutions"] for config in configs)
        return found


def test_only_default_and_canary_are_provisioned(bench: Bench, functions: FunctionHost) -> None:
    warm = Warm(bench, functions)
    warm.deploy("1", "--no-default")
    assert warm.wanted() == {"1": 1}, "the first version always becomes the default"
    warm.deploy("2", "--no-default")
    assert warm.wanted() == {"1": 1, "2": 0}
    warm.deploy("2", "--canary", "10")
    assert warm.wanted() == {"1": 1, "2": 1}
    warm.deploy("2")
    assert warm.wanted() == {"1": 0, "2": 1}
    assert bench.run("rollback", "m")[0] == 0
    assert warm.wanted() == {"1": 1, "2": 0}
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{free_port()}")
        code, record = bench.run("rollback", "m")
    assert (code, "the default of m is 2 again; it was 1" in record["error"]) == (12, True), record
    assert "The next deployment of this model sets it" in record["error"]
    assert bench.deployed().models["m"].default == "2"
    warm.deploy("2")
    assert warm.wanted() == {"1": 0, "2": 1}


def test_a_canary_that_becomes_the_default_stays_warm(bench: Bench, functions: FunctionHost) -> None:
    bench.deploy("1", "--on", "serverless")
    bench.deploy("2", "--on", "serverless", "--canary", "10")
    function = bench.deployed().models["m"].versions["2"].function
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}

    def cold() -> bool:
        answer = functions.client.invoke(
            FunctionName=function, Payload=json.dumps(body).encode(), LogType="Tail"
        )
        assert json.loads(answer["Payload"].read())["outputs"][0]["data"] == [3.0]
        return b"Init Duration" in base64.b64decode(answer["LogResult"])

    cold()
    bench.deploy("2", "--on", "serverless")
    assert not cold(), "the same package and settings leave the function alone"


def test_a_running_function_survives_a_failed_update(
    bench: Bench, functions: FunctionHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.deploy("1", "--on", "serverless")
    function = bench.deployed().models["m"].versions["1"].function
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    broken = "raise OSError('no licence')\n"
    monkeypatch.setattr("modelkit.package.function.HANDLER", broken)  # as a change of the handler would be
    code, record = bench.deploy("1", "--on", "serverless")
    assert (code, "no licence" in record["error"]) == (11, True), record
    assert [path.name for path in functions.packages.iterdir()] == [function]
    answer = functions.client.invoke(FunctionName=function, Payload=json.dumps(body).encode())
    assert json.loads(answer["Payload"].read())["outputs"][0]["data"] == [2.0]
    monkeypatch.setattr("modelkit.package.function.HANDLER", HANDLER + "# anew\n")
    assert bench.deploy("1", "--on", "serverless")[0] == 0
    assert [path.name for path in functions.packages.iterdir()] == [function]
    assert "anew" in (functions.packages / str(function) / "function.py").read_text()


def test_a_canary_a_rollback_and_a_removal(bench: Bench, functions: FunctionHost) -> None:
    bench.deploy("1")
    assert bench.deploy("2", "--canary", "10")[1]["canary"] == "2"
    rows = {row["version"]: row for row in bench.run("list")[1]["versions"]}
    assert (rows["1"]["role"], rows["1"]["share"]) == ("default", 90.0)
    assert (rows["2"]["role"], rows["2"]["share"]) == ("canary", 10.0)
    assert bench.run("rollback", "m")[1]["ended_canary"] == "2"
    assert bench.deploy("2")[1]["default"] == "2"
    assert bench.run("rollback", "m")[1] | {"revision": 0} == {
        "model": "m",
        "default": "1",
        "was": "2",
        "ended_canary": None,
        "revision": 0,
    }
    code, refused = bench.run("remove", "m", "1", "--grace", "0")
    assert (code, "is the default of m" in refused["error"]) == (13, True)
    assert bench.run("remove", "m", "2", "--grace", "0")[0] == 0
    until(lambda: bench.ask("2") is None, "the server drops it")
    assert bench.ask("1") == 2.0
    assert bench.run("remove", "m", "--all", "--grace", "0")[0] == 0
    assert list(functions.packages.iterdir()) == []
    assert list(bench.models.iterdir()) == []


def test_versions_in_the_directory_are_adopted(bench: Bench) -> None:
    shutil.copytree(bench.bundle("1"), bench.models / "m" / "1")
    assert bench.deploy("2")[1]["default"] == "2"
    assert bench.run("rollback", "m")[1]["default"] == "1"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import no_such_module\n", "No module named 'no_such_module'"),
        ("import os\nos._exit(3)\n", "cannot be loaded"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "crashes when loaded (SIGSEGV)"),
        ("import time\ntime.sleep(3600)\n", "STRAIGHTLINE_DEPLOY_PATIENCE"),
        ("runs = 1\n", "has no callable 'run'"),
    ],
)
def test_a_broken_bundle_is_refused_and_running_versions_stay(
    bench: Bench, as_before: Callable[[], None], monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_DEPLOY_PATIENCE", "4")
    found, record = bench.deploy("2", code=code)
    assert (found, record["exit_code"]) == (11, 11)
    assert told in record["error"]
    as_before()


def test_a_wrong_digest_is_refused(bench: Bench, as_before: Callable[[], None]) -> None:
    code, record = bench.run("deploy", "--bundle", bench.bundle("2"), "--digest", "sha256:" + "0" * 64)
    assert (code, "it has changed since it was built" in record["error"]) == (10, True)
    code, record = bench.run("deploy", "--bundle", bench.bundle("2"), "--digest", "abc")
    assert (code, "'abc' is not the digest of a bundle" in record["error"]) == (2, True)
    code, record = bench.deploy("1", code=GOOD.format(factor=7))
    assert (code, "another `version` in model.toml" in record["error"]) == (10, True)
    as_before()


def test_other_content_in_the_directory_is_not_overwritten(bench: Bench) -> None:
    shutil.copytree(bench.bundle("1", GOOD.format(factor=9)), bench.models / "m" / "1")
    code, record = bench.deploy("1")
    assert (code, "is not in the registry" in record["error"]) == (10, True)
    until(lambda: bench.ask("1") == 9.0, "the server serves the bundle in the directory")


def test_a_failed_function_rolls_back_the_other_targets(bench: Bench, as_before: Callable[[], None]) -> None:
    only_there = "import os\nif 'AWS_LAMBDA_FUNCTION_NAME' in os.environ:\n    raise OSError('no licence')\n"
    code, record = bench.deploy("2", code=only_there + GOOD.format(factor=3))
    assert (code, "does not become ready" in record["error"]) == (11, True)
    assert "no licence" in record["error"]
    until(lambda: bench.ask("2") is None, "the server drops it")
    as_before()


def test_a_bundle_that_only_the_server_cannot_load_is_refused(
    bench: Bench, as_before: Callable[[], None]
) -> None:
    only_there = (
        "import os\nif 'STRAIGHTLINE_SERVE_BIND' in os.environ:\n    raise OSError('another machine')\n"
    )
    code, record = bench.deploy("2", code=only_there + GOOD.format(factor=3))
    assert (code, "another machine" in record["error"]) == (11, True)
    as_before()


@pytest.mark.parametrize(
    ("variable", "value", "exit_code"),
    [
        ("STRAIGHTLINE_LOCAL_URL", "http://127.0.0.1:{port}", 11),
        ("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:{port}", 12),
        ("STRAIGHTLINE_DEPLOY_DATABASE_URL", "postgresql://127.0.0.1:{port}/x", 3),
        ("STRAIGHTLINE_DEPLOY_DATABASE_URL", "mysql://x", 2),
    ],
)
def test_an_unreachable_service_is_named(
    bench: Bench, as_before: Callable[[], None], variable: str, value: str, exit_code: int
) -> None:
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv(variable, value.format(port=free_port()))
        code, record = bench.deploy("2")
    assert (code, variable in record["error"]) == (exit_code, True), record
    as_before()


@pytest.mark.parametrize("what", ["BROKER", "DATABASE"])
def test_a_missing_url_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.delenv(f"STRAIGHTLINE_DEPLOY_{what}_URL")
    monkeypatch.delenv(f"STRAIGHTLINE_{what}_URL", raising=False)
    code, record = bench.deploy("1")
    assert (code, f"STRAIGHTLINE_DEPLOY_{what}_URL is not set" in record["error"]) == (2, True), record


def test_a_function_host_without_deployment_names_the_setting(
    bench: Bench, make_host: HostMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packages = tmp_path / "others"
    packages.mkdir()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", make_host(packages).url)
    code, record = bench.deploy("1", "--on", "serverless")
    assert (code, "STRAIGHTLINE_FUNCTIONS_DEPLOY=true" in record["error"]) == (12, True)


def test_a_target_that_cannot_remove_is_named_and_the_others_do(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.deploy("1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{free_port()}")
    code, record = bench.run("remove", "m", "--all", "--grace", "0")
    assert (code, "Remove it by hand: serverless" in record["error"]) == (12, True)
    assert list(bench.models.iterdir()) == []
    assert bench.deployed().models["m"].versions == {}


def test_an_unannounced_removal_names_what_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    function = bench.deploy("1")[1]["function"]
    monkeypatch.setenv("STRAIGHTLINE_DEPLOY_BROKER_URL", f"amqp://127.0.0.1:{free_port()}/x")
    monkeypatch.setattr("modelkit.deployment.announce.CONFIRM_TIMEOUT_S", 1.0)
    code, record = bench.run("remove", "m", "--all", "--grace", "0")
    assert code == 3
    left = f"remove by hand what is left: the directory {bench.models / 'm' / '1'}, the function {function}"
    assert left in record["error"]


def test_a_backend_that_the_model_does_not_list_is_refused(bench: Bench) -> None:
    code, record = bench.deploy("1", "--on", "serverless", backends=("local",))
    assert (code, "is not made for serverless" in record["error"]) == (2, True)


def test_a_first_version_cannot_be_a_canary(bench: Bench) -> None:
    code, record = bench.deploy("1", "--canary", "5")
    assert (code, "without --canary" in record["error"]) == (13, True)
    assert list(bench.models.iterdir()) == []


def test_without_a_broker_the_change_is_recorded_and_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_DEPLOY_BROKER_URL", f"amqp://127.0.0.1:{free_port()}/x")
    monkeypatch.setattr("modelkit.deployment.announce.CONFIRM_TIMEOUT_S", 1.0)
    code, record = bench.deploy("1", "--on", "local")
    assert (code, "could not be announced" in record["error"]) == (3, True)
    assert bench.deployed().models["m"].default == "1"


def test_a_connection_lost_after_the_commit_rolls_nothing_back(
    bench: Bench, heard: list[Deployed], migrated_database_url: str
) -> None:
    with lost_at_commit(migrated_database_url, stands=True):
        code, record = bench.deploy("1")
    assert (code, record["default"]) == (0, "1")
    until(lambda: len(heard) == 1, "it was announced")
    assert heard[-1] == bench.deployed()
    assert bench.ask("1") == 2.0


def test_a_connection_lost_before_the_commit_rolls_back(
    bench: Bench, as_before: Callable[[], None], migrated_database_url: str
) -> None:
    with lost_at_commit(migrated_database_url, stands=False):
        code, _ = bench.deploy("2")
    assert code == 3
    as_before()


def test_an_uncertain_deployment_is_not_rolled_back(
    bench: Bench, functions: FunctionHost, migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outcomes.registry.commit_check.VERIFY_TIMEOUT_S", 0.0)
    with lost_at_commit(migrated_database_url, stands=True, back=False):
        code, record = bench.deploy("1")
    assert (code, "nothing is taken back" in record["error"]) == (3, True)
    assert bench.deployed().models["m"].default == "1"
    assert bench.ask("1") == 2.0
    assert len(list(functions.packages.iterdir())) == 1


def test_list_shows_failure_rates_of_canary_and_default(bench: Bench, migrated_database_url: str) -> None:
    bench.deploy("1", "--on", "local")
    bench.deploy("2", "--on", "local", "--canary", "20")
    engine = create_engine(migrated_database_url)
    statement = text(
        "INSERT INTO outcomes (request_id, state, model, version, attempts, error_class, finished_at)"
        " SELECT gen_random_uuid(), :state, 'm', :version, 1, :fault, now() FROM generate_series(1, :count)"
    )
    with engine.begin() as connection:
        for version, state, fault, count in (
            ("1", "succeeded", None, 99),
            ("1", "failed", "model_error", 1),
            ("2", "succeeded", None, 6),
            ("2", "failed", "model_error", 2),
        ):
            values = {"version": version, "state": state, "fault": fault, "count": count}
            connection.execute(statement, values)
    engine.dispose()
    rows = {row["version"]: row["rate"] for row in bench.run("list", "m", "--since", "1h")[1]["versions"]}
    assert {version: rate["failure_rate"] for version, rate in rows.items()} == {"1": 0.01, "2": 0.25}
    now = datetime.now(UTC)
    with connected(migrated_database_url) as asked:
        found = failures(asked, now - timedelta(hours=1))
    assert [(rate.name, rate.failure_rate) for rate in found.by_version] == [("m 2", 0.25), ("m 1", 0.01)]
