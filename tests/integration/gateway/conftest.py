"""The HTTP gateway as a process, on a real broker and ledger; a `Replier` stands for the rest."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pika
import pytest
import requests
from sqlalchemy.engine import make_url

from broker_config import topology
from broker_config.apply import apply
from outcomes.db.database import connected
from outcomes.queries.keys import SCOPES, Scope, create_key
from script.stack.services import services
from script.stack.services.ports import free_ports
from straightline import names
from straightline.contracts import InferResponse, Outcome, Request
from straightline.contracts.tensors.v2 import InferOutput
from tests.integration.gateway.receiver import Receiver
from tests.integration.straightline.replier import Replier

ROOT = Path(__file__).resolve().parents[3]
MODEL = """
name = "double"
version = "1"
flavour = "python"
entry = "double:predict"
[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1]
[[outputs]]
name = "y"
datatype = "FP32"
shape = [-1]
"""


@dataclass
class Gateway:
    """A running gateway, as a caller with a key sees it."""

    url: str
    key: str
    database_url: str
    process: subprocess.Popen[bytes]
    roles: Any

    def role_url(self, role: str) -> str:
        return _as_role(self.database_url, self.roles, role)

    def ask(self, method: str, path: str, *, key: str | None = None, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {key or self.key}", **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def infer(self, data: list[float], **options: Any) -> requests.Response:
        return self.ask("POST", "/v2/models/double/infer", json=body(data), **options)

    def make_key(self, *scopes: Scope) -> str:
        with connected(self.database_url) as connection:
            return create_key(connection, "test", scopes)[1]


def _as_role(url: str, roles: Any, role: str) -> str:
    parts = make_url(url).set(username=roles.prefix + role, password=roles.by_user[role])
    return parts.render_as_string(hide_password=False)


def body(data: list[float]) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [len(data)], "datatype": "FP32", "data": data}]}


def double(request: Request) -> Outcome:
    """Answer as the model would."""
    tensor = request.infer_request().inputs[0]
    values = [2 * value for value in msgspec.json.decode(tensor.data)]
    output = InferOutput(
        name="y", shape=tensor.shape, datatype="FP32", data=msgspec.Raw(msgspec.json.encode(values))
    )
    result = InferResponse(model_name="double", model_version="1", outputs=[output])
    return Outcome(
        request_id=request.id,
        state="succeeded",
        backend="local",
        model="double",
        finished_at=time.time(),
        submitted_at=request.submitted_at,
        result=msgspec.Raw(msgspec.json.encode(result)),
    )


class Starter:
    """Starts gateways on one broker and ledger, and ends them.

    They work as a role of the database, tests as its owner.
    """

    def __init__(self, directory: Path, broker_url: str, database_url: str, roles: Any) -> None:
        self._database_url = database_url
        self._roles = roles
        bundle = directory / "models" / "double" / "1"
        bundle.mkdir(parents=True)
        (bundle / "model.toml").write_text(MODEL)
        self.log = directory / "gateway.log"
        self._started: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "STRAIGHTLINE_BROKER_URL": broker_url,
            "STRAIGHTLINE_DATABASE_URL": _as_role(database_url, roles, "gateway"),
            "STRAIGHTLINE_MODELS_DIR": str(directory / "models"),
            "STRAIGHTLINE_STORE": f"file://{directory}/store",
            "STRAIGHTLINE_KEY_SECONDS": "0.2",
        }

    def start(self, **extra: str) -> Gateway:
        (port,) = free_ports(1)
        environment = {**self._environment, "STRAIGHTLINE_GATEWAY_BIND": f"127.0.0.1:{port}", **extra}
        with self.log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "http"], env=environment, cwd=ROOT, stdout=out, stderr=out
            )
        self._started.append(process)
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 90
        while not _ready(url):
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        with connected(self._database_url) as connection:
            key = create_key(connection, "tests", SCOPES)[1]
        return Gateway(url, key, self._database_url, process, self._roles)

    def close(self) -> None:
        for process in self._started:
            process.send_signal(signal.SIGTERM)
        for process in self._started:
            process.wait(20)
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


@pytest.fixture(scope="package")
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Starter, str]]:
    """A starter of gateways, and the URL of its broker; one for all tests here."""
    admin = request.getfixturevalue("broker_admin")
    vhost = next(request.getfixturevalue("_vhosts"))
    broker_url = f"{admin.url.rpartition('/')[0]}/{quote(vhost, safe='')}"
    apply(broker_url)
    server, template = (request.getfixturevalue(name) for name in ("_database_server", "_migrated"))
    name = f"gateway_{secrets.token_hex(4)}"
    services.create_database(server, name, template=template)
    database_url = make_url(server).set(database=name).render_as_string(hide_password=False)
    roles = request.getfixturevalue("_roles")
    starter = Starter(tmp_path_factory.mktemp("gateway"), broker_url, database_url, roles)
    yield starter, broker_url
    starter.close()
    services.drop_database(server, name)
    services.delete_queues(broker_url, [queue.name for queue in topology.QUEUES])


@pytest.fixture(scope="package")
def running(place: tuple[Starter, str]) -> Gateway:
    return place[0].start()


@pytest.fixture
def system_url(place: tuple[Starter, str]) -> str:
    """The broker's URL, with no request left over from another test."""
    connection = pika.BlockingConnection(pika.URLParameters(place[1]))
    channel = connection.channel()
    for queue in names.REQUEST_QUEUES:
        channel.queue_purge(queue)
    connection.close()
    return place[1]


@pytest.fixture
def gateway(running: Gateway, system_url: str) -> Gateway:
    del system_url
    return running


@pytest.fixture
def start_gateway(place: tuple[Starter, str], system_url: str) -> Callable[..., Gateway]:
    """Start another gateway, with other settings."""
    del system_url
    return place[0].start


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def model(system_url: str) -> Iterator[Replier]:
    """Answers every request by doubling its numbers."""
    with Replier(system_url, double) as replier:
        yield replier


def _ready(url: str) -> bool:
    try:
        return requests.get(url + "/v2/health/ready", timeout=2).status_code == 200
    except requests.RequestException:
        return False
