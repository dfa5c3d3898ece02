"""The function host accepts deployments through Lambda's API if enabled, only into its directory."""

import base64
import io
import json
import os
import signal
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from modelkit.deployment.provisioned_concurrency import set_concurrency
from straightline.contracts.model import WarmPool
from tests.integration.modelkit.processes import FunctionHost, HostMaker, lives, until

pytestmark = pytest.mark.integration

PATH = "/2015-03-31/functions"
SETTINGS = {
    "Runtime": "python3.11",
    "Role": "arn:aws:iam::000000000000:role/none",
    "Handler": "function.handler",
}


def package(answer: str) -> bytes:
    return zipped({"function.py": f"def handler(event, context):\n    return {answer}\n"})


def zipped(files: dict[str, str], *, link: bool = False) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFLNK | 0o777 if link else stat.S_IFREG | 0o644) << 16
            archive.writestr(member, content)
    return memory.getvalue()


@pytest.fixture
def open_host(make_host: HostMaker, tmp_path: Path) -> FunctionHost:
    packages = tmp_path / "packages"
    packages.mkdir()
    return make_host(packages, deploy="true")


def invoke(host: FunctionHost, name: str = "f") -> Any:
    return json.loads(host.client.invoke(FunctionName=name, Payload=b"{}")["Payload"].read())


def test_a_function_lives_from_its_creation_to_its_deletion(open_host: FunctionHost) -> None:
    client = open_host.client
    made = client.create_function(
        FunctionName="f",
        Code={"ZipFile": package("1")},
        Timeout=7,
        MemorySize=256,
        Environment={"Variables": {"WORD": 'a "b" \\ ü'}},
        **SETTINGS,
    )
    assert (made["FunctionName"], made["Timeout"], made["MemorySize"], made["State"]) == (
        "f",
        7,
        256,
        "Active",
    )
    client.get_waiter("function_active_v2").wait(FunctionName="f")
    assert invoke(open_host) == 1
    client.update_function_code(FunctionName="f", ZipFile=package("__import__('os').environ['WORD']"))
    client.get_waiter("function_updated_v2").wait(FunctionName="f")
    assert invoke(open_host) == 'a "b" \\ ü'
    changed = client.update_function_configuration(FunctionName="f", Timeout=9)
    assert (changed["Timeout"], changed["MemorySize"]) == (9, 256)
    assert invoke(open_host) == 'a "b" \\ ü'
    client.delete_function(FunctionName="f")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="f", Payload=b"{}")
    assert list(open_host.packages.iterdir()) == []


def test_an_existing_function_is_not_created_again(open_host: FunctionHost) -> None:
    client = open_host.client
    client.create_function(FunctionName="f", Code={"ZipFile": package("1")}, **SETTINGS)
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.create_function(FunctionName="f", Code={"ZipFile": package("2")}, **SETTINGS)
    assert invoke(open_host) == 1


@pytest.mark.parametrize(
    "code",
    [
        b"no archive",
        zipped({"../evil.py": ""}),
        zipped({"/evil.py": ""}),
        zipped({"inner/../../evil.py": ""}),
        zipped({"link": "/etc/passwd"}, link=True),
    ],
)
def test_an_invalid_or_escaping_package_is_refused(open_host: FunctionHost, code: bytes) -> None:
    client = open_host.client
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        client.create_function(FunctionName="f", Code={"ZipFile": code}, **SETTINGS)
    assert list(open_host.packages.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"FunctionName": "../f"},
        {"FunctionName": "a b"},
        {"Handler": None},
        {"Handler": "no handler"},
        {"Timeout": 0},
        {"MemorySize": 1},
        {"PackageType": "Image"},
        {"Code": {}},
        {"Code": {"ZipFile": "no base64!"}},
    ],
)
def test_an_invalid_function_is_refused(open_host: FunctionHost, changes: dict[str, Any]) -> None:
    body = {
        "FunctionName": "f",
        "Handler": "function.handler",
        "Code": {"ZipFile": base64.b64encode(package("1")).decode()},
        **changes,
    }
    answer = requests.post(open_host.url + PATH, json=body, timeout=30)
    assert (answer.status_code, answer.headers["X-Amzn-ErrorType"]) == (400, "InvalidParameterValueException")
    assert list(open_host.packages.iterdir()) == []


def test_deployment_is_disabled_by_default(make_host: HostMaker, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    host = make_host(packages)
    host.deploy("f", "def handler(event, context):\n    return 1\n")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("create_function", {"FunctionName": "g", "Code": {"ZipFile": package("1")}, **SETTINGS}),
        ("update_function_code", {"FunctionName": "f", "ZipFile": package("2")}),
        ("update_function_configuration", {"FunctionName": "f", "Timeout": 9}),
        ("delete_function", {"FunctionName": "f"}),
    ]
    for name, arguments in calls:
        with pytest.raises(ClientError) as refused:
            getattr(host.client, name)(**arguments)
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    assert invoke(host) == 1


SLOW = "import os, time\ntime.sleep(0.3)\ndef handler(event, context):\n    return os.getpid()\n"


def test_provisioned_instances_are_started_ahead_and_never_reaped(
    make_host: HostMaker, tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    host = make_host(packages, deploy="true", idle="0.5")
    client = host.client
    client.create_function(FunctionName="f", Code={"ZipFile": zipped({"function.py": SLOW})}, **SETTINGS)
    assert set_concurrency(client, "f", WarmPool(minimum=2, maximum=3)) == "f:1"
    wanted = {"FunctionName": "f", "Qualifier": "1"}

    def state() -> tuple[str, int]:
        found = client.get_provisioned_concurrency_config(**wanted)
        return found["Status"], found["AvailableProvisionedConcurrentExecutions"]

    until(lambda: state() == ("READY", 2), "two instances are ready")
    first = client.invoke(FunctionName="f:1", LogType="Tail")
    assert b"Init Duration" not in base64.b64decode(first["LogResult"])
    pid = int(first["Payload"].read())
    os.kill(pid, signal.SIGKILL)
    until(lambda: not lives(pid), "it is dead")
    until(lambda: state() == ("READY", 2), "another instance is started")
    client.delete_provisioned_concurrency_config(**wanted)
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(**wanted)
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        client.put_provisioned_concurrency_config(
            **wanted, ProvisionedConcurrentExecutions=4
        )  # above the limit


def test_a_minimum_above_the_hosts_limit_is_refused(make_host: HostMaker, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    client = make_host(packages, deploy="true", function_concurrency="2").client
    client.create_function(FunctionName="f", Code={"ZipFile": package("1")}, **SETTINGS)
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="FUNCTION_CONCURRENCY"):
        set_concurrency(client, "f", WarmPool(minimum=3))
    assert set_concurrency(client, "f", WarmPool(minimum=2)) == "f:1"


def test_failed_prestarts_back_off(make_host: HostMaker, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    host = make_host(packages, deploy="true")
    broken = zipped({"function.py": "import pathlib\nraise RuntimeError('broken')\n"})
    host.client.create_function(FunctionName="broken", Code={"ZipFile": broken}, **SETTINGS)
    host.client.create_function(FunctionName="f", Code={"ZipFile": package("1")}, **SETTINGS)
    for name in ("broken", "f"):
        set_concurrency(host.client, name, WarmPool(minimum=1))
    wanted = {"FunctionName": "f", "Qualifier": "1"}
    until(
        lambda: host.client.get_provisioned_concurrency_config(**wanted)["Status"] == "READY", "the other one"
    )
    found = host.client.list_provisioned_concurrency_configs(FunctionName="broken")
    (config,) = found["ProvisionedConcurrencyConfigs"]
    assert config["FunctionArn"].endswith(":function:broken:1")
    assert config["AvailableProvisionedConcurrentExecutions"] == 0, "a failed start does not count"
    assert invoke(host) == 1
