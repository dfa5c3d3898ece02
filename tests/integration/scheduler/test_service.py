"""The scheduler as a process on a real broker: it places, survives, and is one at a time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pika
import pytest

from broker_config.apply import apply
from straightline import names
from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts import Heartbeat, LeaseBatch, ModelSpec, OutcomeBatch, TensorSpec
from straightline.contracts.deployed import Deployed, DeployedModel, DeployedVersion
from straightline.ids import new_id
from straightline.messages.streams import deployed_message
from tests.events import logged_lines

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
TOML = """
name = "digits"
version = "1"
flavour = "python"
entry = "double:predict"
inputs = [{name = "images", datatype = "FP32", shape = [-1, 64]}]
outputs = [{name = "label", datatype = "INT64", shape = [-1]}]
"""
IMAGE = {"inputs": [{"name": "images", "shape": [1, 64], "datatype": "FP32", "data": [0] * 64}]}
DEADLINE = 20.0


class Broker:
    """A producer, the pools and the recorder, as far as a scheduler sees them."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()

    def close(self) -> None:
        self._connection.close()

    def request(self, **changes: Any) -> str:
        body = {"id": new_id(), "model": "digits", "submitted_at": time.time(), "data": IMAGE} | changes
        self._channel.basic_publish(
            names.REQUESTS,
            "interactive",
            json.dumps(body),
            pika.BasicProperties(message_id=body["id"], delivery_mode=2),
            mandatory=True,
        )
        return str(body["id"])

    def beat(self, backend: names.Backend = "local", slots: int = 1_000) -> None:
        beat = Heartbeat(
            backend=backend,
            worker=f"{backend}@test",
            sent_at=time.time(),
            interval=10.0,
            slots=slots,
            active=0,
            healthy=True,
        )
        self._channel.basic_publish(names.SIGNALS, "heartbeat", msgspec.json.encode(beat))

    def take(self, queue: str) -> bytes | None:
        method, _, body = self._channel.basic_get(queue, auto_ack=True)
        return None if method is None else body

    def consumers(self, queue: str) -> int:
        return int(self._channel.queue_declare(queue, passive=True).method.consumer_count)

    def placed(self) -> list[str]:
        """Take one placement message and return the ids in it."""
        body = self.take(names.backend_queue("local"))
        if body is None:
            return []
        return [ticket["request"]["id"] for ticket in json.loads(body)[0][0]]


def until(what: Callable[[], Any], *, pause: Callable[[], None]) -> Any:
    """Poll until `what` gives something; `pause` is what a caller does between two looks."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        pause()
    pytest.fail("it did not come within the deadline")


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    broker = Broker(broker_url)
    yield broker
    broker.close()


@pytest.fixture
def start(user_urls: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    bundle = tmp_path / "models" / "digits" / "1"
    bundle.mkdir(parents=True)
    (bundle / "model.toml").write_text(TOML)
    started: list[subprocess.Popen[bytes]] = []

    def run(**environ: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"scheduler-{len(started) + 1}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "scheduler"],
                cwd=ROOT,
                env=os.environ
                | {
                    "STRAIGHTLINE_BROKER_URL": user_urls["scheduler"],
                    "STRAIGHTLINE_MODELS_DIR": str(tmp_path / "models"),
                }
                | environ,
                stderr=log,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def place(broker: Broker, ids: list[str]) -> list[str]:
    """Collect placements until all of `ids` are placed; returns them in order."""
    got: list[str] = []

    def look() -> bool:
        got.extend(broker.placed())
        return set(ids) <= set(got)

    until(look, pause=broker.beat)
    return got


def test_requests_that_waited_for_a_scheduler_are_placed_once_and_in_order(
    broker: Broker, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    ids = [broker.request() for _ in range(50)]
    process = start()
    assert place(broker, ids) == ids
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 0


def test_a_standby_logs_its_role_and_takes_over_when_the_leader_is_killed(
    broker: Broker, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    leader = start()
    place(broker, [broker.request()])
    start()
    log = tmp_path / "scheduler-2.log"
    until(lambda: logged_lines(log.read_text(), "scheduler_stands_by"), pause=broker.beat)
    # Held by the leader, not placed yet.
    held = [broker.request(allow=["serverless"]) for _ in range(3)]
    leader.kill()
    place(broker, [broker.request()])

    def taken() -> list[str]:
        body = broker.take(names.backend_queue("serverless"))
        return [] if body is None else [t["request"]["id"] for t in json.loads(body)[0][0]]

    got: list[str] = []

    def look() -> bool:
        got.extend(taken())
        return len(got) >= len(held)

    until(look, pause=lambda: broker.beat("serverless"))
    assert got == held


def test_two_schedulers_never_place_the_same_request(
    broker: Broker, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    start()
    start()
    ids = [broker.request() for _ in range(200)]
    assert sorted(place(broker, ids)) == sorted(ids)


def test_bad_messages_become_outcomes_and_dead_letters_while_work_goes_on(
    broker: Broker, start: Callable[..., subprocess.Popen[bytes]], user_urls: dict[str, str]
) -> None:
    announce(user_urls, 0)  # else it might be that the model of one of them is only not announced yet
    start()
    channel = broker._channel
    for body in (b"", b"\xff", b"null", b"[" * 10_000, b'{"id": 5}'):
        channel.basic_publish(names.REQUESTS, "interactive", body)
    rejected = broker.request(model="cats")
    good = broker.request()
    assert place(broker, [good]) == [good]
    for_the_ledger = [
        until(lambda: broker.take(names.OUTCOMES_QUEUE), pause=broker.beat).partition(b":")
        for _ in ("the refusal", "the lease")
    ]
    said = {kind: value for kind, _, value in for_the_ledger}
    (ended,) = msgspec.json.decode(b'{"outcomes":' + said[b'{"outcomes"'], type=OutcomeBatch).outcomes
    assert (ended.request_id, ended.state) == (rejected, "rejected")
    (lease,) = msgspec.json.decode(b'{"leases":' + said[b'{"leases"'], type=LeaseBatch).leases
    assert lease.ids == [good]
    dead = [until(lambda: broker.take(names.DEAD_QUEUE) is not None, pause=broker.beat) for _ in range(5)]
    assert len(dead) == 5


def test_properties_that_are_no_text_cost_nothing_but_themselves(
    broker: Broker, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    start()
    odd = {"message_id": b"\xff", "reply_to": b"\xfe\xff", "correlation_id": b"\xff"}
    body = {"id": new_id(), "model": "digits", "submitted_at": time.time(), "data": IMAGE}
    properties = pika.BasicProperties(**odd, headers={"traceparent": 7})
    broker._channel.basic_publish(names.REQUESTS, "interactive", json.dumps(body), properties)
    ids = [str(body["id"]), broker.request()]
    assert place(broker, ids) == ids


def test_a_queue_that_was_deleted_and_made_again_is_read_again(
    broker_url: str, broker: Broker, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    start()
    place(broker, [broker.request()])
    broker._channel.queue_delete(names.INTERACTIVE_QUEUE)
    until(lambda: broker.consumers(names.BATCH_QUEUE) == 0, pause=broker.beat)  # it notices, and starts anew
    apply(broker_url)
    place(broker, [broker.request()])


def test_placements_go_on_after_the_broker_closed_every_connection(
    broker_url: str, broker_admin: Any, broker: Broker, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    start()
    place(broker, [broker.request()])
    vhost = pika.URLParameters(broker_url).virtual_host
    broker_admin.ctl("close_all_connections", "--vhost", vhost, "test")
    again = Broker(broker_url)
    try:
        ids = [again.request() for _ in range(20)]
        place(again, ids)
    finally:
        again.close()
        broker._connection = pika.BlockingConnection(pika.URLParameters(broker_url))


def test_a_wrong_setting_is_named_in_one_line(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    assert start(STRAIGHTLINE_F="-1").wait(DEADLINE) == 2


def announce(user_urls: dict[str, str], revision: int, *versions: str) -> None:
    """Announce these versions of the model `fresh` as deployed."""
    tensors = (TensorSpec(name="images", datatype="FP32", shape=(-1, 64)),)
    there = {
        each: DeployedVersion(
            spec=ModelSpec(name="fresh", version=each, inputs=tensors, outputs=tensors), digest="sha256:0"
        )
        for each in versions
    }
    models = {"fresh": DeployedModel(versions=there, default=versions[-1])} if versions else {}
    with Publisher(user_urls["deployer"], name="test") as publisher:
        publisher.publish(deployed_message(Deployed(revision=revision, models=models))).result()


def version_placed(broker: Broker) -> str | None:
    body = broker.take(names.backend_queue("local"))
    return None if body is None else str(json.loads(body)[0][0][0]["version"])


def test_a_scheduler_knows_deployments_from_before_and_after_it_led(
    broker: Broker, start: Callable[..., subprocess.Popen[bytes]], user_urls: dict[str, str]
) -> None:
    announce(user_urls, 1, "1")
    broker.request(model="fresh")  # it waits in its queue, for a scheduler that knows of the model
    start()
    assert until(partial(version_placed, broker), pause=broker.beat) == "1"
    announce(user_urls, 2, "1", "2")

    def ask() -> None:  # one that comes before the announcement is answered by the version before
        broker.beat()
        broker.request(model="fresh")

    until(lambda: version_placed(broker) == "2", pause=ask)


def test_a_scheduler_that_cannot_read_the_registry_rejects_no_request_for_it(
    broker_url: str,
    broker: Broker,
    start: Callable[..., subprocess.Popen[bytes]],
    user_urls: dict[str, str],
    tmp_path: Path,
) -> None:
    broker._channel.queue_delete(names.DEPLOYED_STREAM)
    start()
    place(broker, [broker.request()])  # of its directory, once it has given up to wait
    broker.request(model="fresh", deadline=time.time() + 300)
    log = tmp_path / "scheduler-1.log"
    until(lambda: logged_lines(log.read_text(), "requests_deferred"), pause=broker.beat)
    apply(broker_url)
    announce(user_urls, 1, "1")
    assert until(partial(version_placed, broker), pause=broker.beat) == "1"
    assert broker.take(names.DEAD_QUEUE) is None
