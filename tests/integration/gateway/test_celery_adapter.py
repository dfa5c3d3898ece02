"""A Celery service that has only a route to us, on a real broker."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pika
import pytest
from celery import Celery, chain, group
from celery.exceptions import TaskRevokedError

from straightline import names
from straightline.contracts import Outcome, Request
from straightline.ids import new_id
from tests.integration.straightline.replier import Replier, echo

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "gateway" / "README.md").read_text(encoding="utf-8")
DATA = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.5]}]}


@pytest.fixture
def door(user_urls: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STRAIGHTLINE_BROKER_URL": user_urls["celery-door"]}
    with (tmp_path / "door.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "celery"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, (tmp_path / "door.log").read_text()


@pytest.fixture
def service(user_urls: dict[str, str]) -> Iterator[Celery]:
    app = Celery("theirs", broker=user_urls["celery-producer"], backend="rpc://", set_as_current=False)
    app.conf.task_routes = {names.INFER_TASK: {"exchange": names.REQUESTS, "routing_key": "celery"}}
    yield app
    app.close()


def ask(app: Celery, **options: Any) -> Any:
    kwargs = {"model": "m", "data": DATA, **options.pop("kwargs", {})}
    return app.send_task(names.INFER_TASK, kwargs=kwargs, **options)


def by_model(request: Request) -> Outcome:
    """End as the model's name says."""
    if request.model == "m":
        return echo(request)
    state: Any = request.model
    return Outcome(
        request_id=request.id, state=state, finished_at=time.time(), error_class="reason", error="why"
    )


@pytest.mark.usefixtures("door")
def test_a_task_returns_the_response_of_the_model(service: Celery, broker_url: str) -> None:
    with Replier(broker_url) as replier:
        assert ask(service).get(timeout=20) == DATA
    assert replier.requests[0].model == "m"


@pytest.mark.usefixtures("door")
def test_the_example_of_the_readme_runs(user_urls: dict[str, str], broker_url: str) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    with Replier(broker_url):
        done = subprocess.run(
            [sys.executable, "-c", example],
            capture_output=True,
            text=True,
            check=False,
            env={"STRAIGHTLINE_CELERY_BROKER_URL": user_urls["celery-producer"]},
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["50"]


@pytest.mark.usefixtures("door")
def test_every_failure_is_raised_in_the_caller(service: Celery, broker_url: str) -> None:
    with Replier(broker_url, by_model):
        for state, kind in {
            "failed": "RequestFailed",
            "rejected": "RequestRejected",
            "expired": "RequestExpired",
        }.items():
            with pytest.raises(Exception, match="reason: why") as caught:
                ask(service, kwargs={"model": state}).get(timeout=20)
            assert type(caught.value).__name__ == kind
        with pytest.raises(TaskRevokedError, match="why"):
            ask(service, kwargs={"model": "cancelled"}).get(timeout=20)


@pytest.mark.usefixtures("door")
def test_a_group_of_500_keeps_its_order(service: Celery, broker_url: str) -> None:
    tensors = [{"inputs": [{**DATA["inputs"][0], "data": [float(number)]}]} for number in range(500)]
    with Replier(broker_url):
        asked = group(
            service.signature(names.INFER_TASK, kwargs={"model": "m", "data": data}) for data in tensors
        )
        assert asked.apply_async().get(timeout=60) == tensors


@pytest.mark.usefixtures("door")
def test_unsupported_features_are_rejected_without_running_anything(service: Celery, broker_url: str) -> None:
    step = service.signature(names.INFER_TASK, kwargs={"model": "m", "data": DATA}, immutable=True)
    with Replier(broker_url) as replier:
        whole = chain(step, step).apply_async()
        with pytest.raises(Exception, match="a chain is not supported"):
            whole.parent.get(timeout=20)
        with pytest.raises(Exception, match="eta and countdown are not supported"):
            ask(service, countdown=1).get(timeout=20)
        with pytest.raises(Exception, match="link is not supported"):
            ask(service, link=step).get(timeout=20)
        with pytest.raises(Exception, match="UUID"):
            ask(service, task_id="mine").get(timeout=20)
        ask(service).get(timeout=20)
    assert len(replier.requests) == 1


def test_a_task_sent_while_the_adapter_is_down_is_answered_later(
    service: Celery, broker_url: str, request: pytest.FixtureRequest
) -> None:
    asked = ask(service)
    with Replier(broker_url):
        request.getfixturevalue("door")
        assert asked.get(timeout=20) == DATA


@pytest.mark.usefixtures("door")
def test_a_message_without_a_caller_is_dead_lettered(service: Celery, broker_url: str) -> None:
    with service.connection() as connection, connection.channel() as channel:
        producer = connection.Producer(channel)
        producer.publish(b"\x80\x04.", exchange=names.REQUESTS, routing_key="celery", correlation_id=new_id())
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        end = time.monotonic() + 20
        while (body := channel.basic_get(names.DEAD_QUEUE, auto_ack=True)[2]) is None:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert body == b"\x80\x04."
    with Replier(broker_url):
        assert ask(service).get(timeout=20) == DATA  # and the door lives on


@pytest.mark.usefixtures("door")
def test_the_adapter_writes_to_result_queues_only(user_urls: dict[str, str], broker_url: str) -> None:
    """It alone may write the default exchange, and the address comes from the caller."""
    victim = names.backend_queue("local")
    task = b'[[], {"model": "m", "data": {"inputs": []}}, {}]'
    headers = {"task": names.INFER_TASK, "id": new_id()}
    request = {"id": new_id(), "model": "m", "submitted_at": time.time(), "data": DATA}
    kinds = {"content_type": "application/json", "content_encoding": "utf-8"}
    with pika.BlockingConnection(pika.URLParameters(user_urls["celery-producer"])) as theirs:
        channel = theirs.channel()
        for sent in (headers, headers | {"eta": "tomorrow"}):
            properties = pika.BasicProperties(headers=sent, reply_to=victim, **kinds)
            channel.basic_publish(names.REQUESTS, "celery", task, properties)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection, Replier(broker_url):
        channel = connection.channel()
        # By way of a plain request, too, whose answer is sent to the door.
        properties = pika.BasicProperties(reply_to=names.CELERY_REPLY_KEY, correlation_id=victim)
        channel.basic_publish(names.REQUESTS, "interactive", msgspec.json.encode(request), properties)
        end = time.monotonic() + 20
        while channel.queue_declare(names.DEAD_QUEUE, passive=True).method.message_count < 3:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert channel.queue_declare(victim, passive=True).method.message_count == 0
