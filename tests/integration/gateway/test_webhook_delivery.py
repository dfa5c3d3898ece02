"""Webhooks are signed, delivered once, and retried until accepted."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pika
import pytest

from gateway.webhooks import dispatcher, sender
from gateway.webhooks.signing import headers, new_secret
from outcomes.db.database import connected
from outcomes.db.pool import LedgerPool
from outcomes.queries import webhook_deliveries, webhooks
from outcomes.queries.keys import create_key
from straightline import names
from straightline.contracts import Outcome, Request
from straightline.ids import new_id
from tests.integration.gateway.conftest import Gateway, Starter, body
from tests.integration.gateway.receiver import Receiver
from tests.integration.straightline.replier import Replier

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def trusting(place: tuple[Starter, str]) -> Gateway:
    """A gateway that lets webhooks go to this machine."""
    return place[0].start(STRAIGHTLINE_WEBHOOK_HOSTS="localhost")


@pytest.fixture
def _teller(trusting: Gateway, system_url: str, tmp_path: Path) -> Iterator[None]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "STRAIGHTLINE_BROKER_URL": system_url,
        "STRAIGHTLINE_DATABASE_URL": trusting.role_url("webhooks"),
        "STRAIGHTLINE_WEBHOOK_HOSTS": "localhost",
    }
    log = tmp_path / "webhooks.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "webhooks"], env=environment, cwd=ROOT, stdout=out, stderr=out
        )
    yield
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.05)


def end_request(url: str) -> str:
    """End the next request as the system would, at least once, and return its id."""
    ended: list[Outcome] = []

    def end(request: Request) -> Outcome:
        ended.append(Outcome(request_id=request.id, state="succeeded", finished_at=time.time()))
        return ended[0]

    with Replier(url, end):
        until(lambda: ended, "the request")
    return ended[0].request_id


def waiting(url: str) -> int:
    """Count the outcomes that no webhook was told of yet."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        found: Any = connection.channel().queue_declare(names.WEBHOOKS_QUEUE, passive=True)
        return int(found.method.message_count)


def tell_again(url: str, webhook_id: str, request_id: str) -> None:
    """Send an outcome a second time, as a lost connection may."""
    outcome = Outcome(request_id=request_id, state="succeeded", finished_at=time.time())
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().basic_publish(
            names.ADAPTER_REPLIES,
            names.WEBHOOK_REPLY_KEY,
            msgspec.json.encode(outcome),
            pika.BasicProperties(correlation_id=webhook_id),
        )


@pytest.mark.usefixtures("_teller")
def test_a_webhook_is_called_once_and_signed(trusting: Gateway, receiver: Receiver, system_url: str) -> None:
    made = trusting.ask("POST", "/v1/webhooks", json={"url": receiver.url})
    assert made.status_code == 201
    hook = made.json()
    answer = trusting.ask(
        "POST",
        "/v1/requests",
        json={"model": "double", "data": body([1.0])},
        headers={"X-StraightLine-Webhook": hook["id"]},
    )
    assert answer.status_code == 202
    request_id = end_request(system_url)
    until(lambda: receiver.taken, "the webhook")
    tell_again(system_url, hook["id"], request_id)
    until(lambda: waiting(system_url) == 0, "an empty queue")
    given, content = receiver.taken[0]
    signed = {name.lower(): value for name, value in given.items()}
    wanted = headers(hook["secret"], signed["webhook-id"], int(signed["webhook-timestamp"]), content)
    assert signed["webhook-signature"] == wanted["webhook-signature"]
    event = msgspec.json.decode(content)
    assert (event["type"], event["data"]["id"]) == ("request.succeeded", request_id)

    def told() -> list[tuple[bool, bool]]:
        with connected(trusting.database_url) as connection:
            rows = connection.exec_driver_sql(
                "select delivered_at is not null, next_at is null from webhook_deliveries "
                "where webhook_id = %s",
                (hook["id"],),
            )
            return [(row[0], row[1]) for row in rows]

    until(lambda: told() == [(True, True)], "one delivery, done")
    assert len(receiver.taken) == 1


@pytest.mark.usefixtures("_teller")
def test_a_failed_call_is_retried_and_redirects_are_not_followed(
    trusting: Gateway, receiver: Receiver, system_url: str
) -> None:
    receiver.refusals = [302, 500]
    hook = trusting.ask("POST", "/v1/webhooks", json={"url": receiver.url}).json()
    trusting.ask(
        "POST",
        "/v1/requests",
        json={"model": "double", "data": body([1.0])},
        headers={"X-StraightLine-Webhook": hook["id"]},
    )
    request_id = end_request(system_url)

    def failures() -> int:
        with connected(trusting.database_url) as connection:
            connection.exec_driver_sql(
                # A later `next_at` is the lease of an attempt under way, which must not be taken twice.
                "update webhook_deliveries set next_at = now() where failures > 0 and delivered_at is null "
                "and error is not null and next_at > now() + interval '4 seconds' "
                "and next_at < now() + interval '80 seconds'"
            )
            connection.commit()
            found = connection.exec_driver_sql(
                f"select failures from webhook_deliveries where request_id = '{request_id}'"  # noqa: S608
            )
            return int(found.scalar() or 0)

    until(lambda: failures() == 2 and receiver.taken, "two failures and a success")


@pytest.mark.usefixtures("_teller")
def test_infer_accepts_a_webhook(trusting: Gateway, receiver: Receiver, system_url: str) -> None:
    hook = trusting.ask("POST", "/v1/webhooks", json={"url": receiver.url}).json()
    answer = trusting.infer([1.0], headers={"X-StraightLine-Webhook": hook["id"]})
    assert answer.status_code == 202
    request_id = end_request(system_url)
    assert answer.headers["Location"].endswith(request_id)
    until(lambda: receiver.taken, "the webhook")
    assert msgspec.json.decode(receiver.taken[0][1])["data"]["id"] == request_id
    assert trusting.infer([1.0], headers={"X-StraightLine-Webhook": new_id()}).status_code == 404


def test_webhooks_belong_to_their_key(trusting: Gateway, receiver: Receiver) -> None:
    hook = trusting.ask("POST", "/v1/webhooks", json={"url": receiver.url}).json()
    other = trusting.make_key("webhooks", "infer")
    assert hook["id"] in {each["id"] for each in trusting.ask("GET", "/v1/webhooks").json()["webhooks"]}
    assert trusting.ask("GET", "/v1/webhooks", key=other).json() == {"webhooks": []}
    assert trusting.ask("DELETE", f"/v1/webhooks/{hook['id']}", key=other).status_code == 404
    foreign = trusting.ask(
        "POST",
        "/v1/requests",
        json={"model": "double", "data": body([1.0])},
        headers={"X-StraightLine-Webhook": hook["id"]},
        key=other,
    )
    assert foreign.status_code == 404
    assert trusting.ask("DELETE", f"/v1/webhooks/{hook['id']}").status_code == 204
    assert trusting.ask("DELETE", f"/v1/webhooks/{hook['id']}").status_code == 404


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"url": 1}',
        b'{"url": "http://127.0.0.1/"}',
        b'{"url": "https://127.0.0.1:9/"}',
        b'{"u": "https://a/"}',
    ],
)
def test_an_invalid_webhook_is_rejected(gateway: Gateway, content: bytes) -> None:
    assert gateway.ask("POST", "/v1/webhooks", data=content).status_code == 400


def test_a_slow_receiver_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "TOTAL_TIMEOUT_S", 0.5)
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 2")
            while not over.wait(0.05):
                connection.sendall(b"0")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = threading.Thread(target=drip, args=(listener,))
        receiver.start()
        stop = threading.Timer(10.0, over.set)  # so that the test ends where it fails
        stop.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        started = time.monotonic()
        try:
            with pytest.raises(sender.DeliveryFailed, match="in time"):
                sender.send(url, b"{}", {}, {"127.0.0.1"})
        finally:
            over.set()
            stop.cancel()
            receiver.join(5)
    assert time.monotonic() - started < 5.0


def test_hanging_receivers_of_one_key_do_not_delay_other_keys(gateway: Gateway, receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        hooks = []
        with connected(gateway.database_url) as connection:
            for url, count in ((hanging, 40), (receiver.url, 10)):
                key, _ = create_key(connection, "test", ["webhooks"])
                hook = webhooks.register(connection, key_id=key.id, url=url, secret=new_secret())
                hooks.append(hook.id)
                for _ in range(count):
                    webhook_deliveries.enqueue(connection, hook.id, new_id(), b"{}")
        reader, stop = LedgerPool(gateway.database_url, name="test", connections=4), threading.Event()
        deliveries = dispatcher.WebhookDispatcher(reader, {"127.0.0.1", "localhost"})
        thread = threading.Thread(target=deliveries.run, args=(stop,))
        thread.start()
        end = time.monotonic() + 8  # one that hangs is given up after ten
        while len(receiver.taken) < 10 and time.monotonic() < end:
            time.sleep(0.05)
        stop.set()
    thread.join(20)
    with reader.connection() as connection:
        for hook_id in hooks:
            webhooks.remove(connection, hook_id)
    reader.close()
    assert not thread.is_alive()
    assert len(receiver.taken) == 10
