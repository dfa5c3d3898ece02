"""Batch jobs over HTTP: submitted, run by their own process, reported line by line."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
import requests
from msgspec.structs import replace
from sqlalchemy import Connection

from gateway.webhooks.dispatcher import WebhookDispatcher
from gateway.webhooks.signing import headers as signatures
from outcomes.db.database import connected
from outcomes.db.pool import LedgerPool
from outcomes.queries import batch_runs, batches, webhooks
from outcomes.queries.keys import create_key
from outcomes.recording.ledger import Ledger
from outcomes.rows.row_mapping import entry_of
from straightline import names
from straightline.contracts import Outcome, Request
from straightline.ids import new_id
from tests.integration.gateway.conftest import Gateway, body, double
from tests.integration.gateway.receiver import Receiver
from tests.integration.straightline.replier import Replier

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
LINES = {"Content-Type": "application/jsonl"}


class System:
    """Answers batch requests and records their outcomes, as pools and recorder do; fails every tenth line."""

    def __init__(self, database_url: str) -> None:
        self._ledger = Ledger(database_url)
        self.state: Any = None

    def __call__(self, request: Request) -> Outcome:
        outcome = double(request)
        (number,) = json.loads(bytes(request.infer_request().inputs[0].data))
        if number % 10 == 0 or self.state:
            outcome = Outcome(
                request_id=request.id,
                state=self.state or "failed",
                finished_at=time.time(),
                error_class="model_error",
                error="it stumbled",
            )
        outcome = replace(outcome, batch_id=request.batch_id)
        self._ledger.write([entry_of(outcome, time.time())])
        return outcome

    def close(self) -> None:
        self._ledger.close()


class Process:
    """`python -m gateway batches`."""

    def __init__(self, gateway: Gateway, broker_url: str, store: str, log: Path) -> None:
        self._log = log
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "STRAIGHTLINE_BROKER_URL": broker_url,
            "STRAIGHTLINE_DATABASE_URL": gateway.role_url("batches"),
            "STRAIGHTLINE_STORE": store,
        }
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "batches"],
                env=environment,
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)
        self._process.wait(30)
        assert "Traceback" not in self._log.read_text(), self._log.read_text()


@pytest.fixture
def store(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


@pytest.fixture
def front(start_gateway: Callable[..., Gateway], store: str) -> Iterator[Gateway]:
    gateway = start_gateway(STRAIGHTLINE_STORE=store, STRAIGHTLINE_WEBHOOK_HOSTS="localhost")
    yield gateway
    gateway.process.send_signal(signal.SIGTERM)
    gateway.process.wait(30)


@pytest.fixture
def system(front: Gateway) -> Iterator[System]:
    system = System(front.database_url)
    yield system
    system.close()


@pytest.fixture
def start_runner(
    front: Gateway, system_url: str, store: str, tmp_path: Path
) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(front, system_url, store, tmp_path / "batches.log"))
        return started[-1]

    yield start
    for process in started:
        process.end()


def jsonl(*contents: Any) -> bytes:
    return b"".join((c if isinstance(c, bytes) else json.dumps(c).encode()) + b"\n" for c in contents)


def numbered(first: int, last: int) -> list[Any]:
    return [{"custom_id": f"c{n}", "data": body([float(n)])} for n in range(first, last + 1)]


def until(front: Gateway, where: str, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    end = time.monotonic() + 60
    while not condition(found := front.ask("GET", where).json()):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


def told(front: Gateway, where: str) -> list[dict[str, Any]]:
    answer = front.ask("GET", where)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/jsonl")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_an_upload_is_run_and_reported_line_by_line(
    front: Gateway, system: System, system_url: str, start_runner: Callable[[], Process]
) -> None:
    upload = jsonl(*numbered(1, 30), b"{", *numbered(3, 3), {"data": body([7.0]), "custom_id": "end"})
    made = front.ask("POST", "/v1/batches?model=double&version=1", data=upload, headers=LINES)
    assert (made.status_code, made.json()["state"]) == (202, "waiting")
    where = made.headers["Location"]
    start_runner()
    with Replier(system_url, system, names.BATCH_QUEUE) as replier:
        found = until(front, where, lambda status: status["state"] == "done")
    assert (found["lines"], found["succeeded"], found["failed"], found["refused"]) == (33, 28, 3, 2)
    answers, failed = told(front, f"{where}/results"), told(front, f"{where}/failed")
    assert [each["line"] for each in answers] == [n for n in range(1, 31) if n % 10] + [33]
    assert answers[0]["custom_id"] == "c1"
    assert answers[0]["result"]["outputs"][0]["data"] == [2.0]
    assert {each["error"]["line"]: each["error"]["error_class"] for each in failed} == {
        10: "model_error",
        20: "model_error",
        30: "model_error",
        31: "malformed",
        32: "duplicate",
    }
    assert {(r.class_, r.version, r.batch_id) for r in replier.requests} == {("batch", "1", found["id"])}

    again = front.ask("POST", "/v1/batches", data=front.ask("GET", f"{where}/failed").content, headers=LINES)
    assert again.status_code == 202  # what failed can be handed in again, as it is told


def test_another_runner_resumes_the_job_of_a_dead_one(
    front: Gateway, system: System, system_url: str, start_runner: Callable[[], Process]
) -> None:
    upload = jsonl(*numbered(1, 2100))
    where = front.ask("POST", "/v1/batches?model=double", data=upload, headers=LINES).headers["Location"]
    first = start_runner()
    with Replier(system_url, system, names.BATCH_QUEUE) as replier:
        until(front, where, lambda status: status["succeeded"] > 100 and status["read"] >= 2000)
    first.end(signal.SIGKILL)
    with connected(front.database_url) as connection:  # its lease runs out
        connection.exec_driver_sql("update batch_jobs set lease = now() where state = 'running'")
        connection.commit()
    start_runner()
    with Replier(system_url, system, names.BATCH_QUEUE) as later:
        found = until(front, where, lambda status: status["state"] == "done")
    assert (found["lines"], found["succeeded"], found["failed"]) == (2100, 1890, 210)
    seen = {request.id for request in [*replier.requests, *later.requests]}
    assert len(seen) == 2100


def test_a_job_is_cancelled(
    front: Gateway, system: System, system_url: str, start_runner: Callable[[], Process]
) -> None:
    upload = jsonl(*numbered(1, 2050))
    where = front.ask("POST", "/v1/batches?model=double", data=upload, headers=LINES).headers["Location"]
    start_runner()
    until(front, where, lambda status: status["read"] == 2000)
    asked = front.ask("DELETE", where)
    assert (asked.status_code, asked.json()["cancelling"]) == (202, True)
    system.state = "cancelled"
    with pika.BlockingConnection(pika.URLParameters(system_url)) as connection:
        channel: Any = connection.channel()
        end = time.monotonic() + 30
        while channel.queue_declare(names.CANCELS_QUEUE, passive=True).method.message_count < 2000:
            assert time.monotonic() < end, "the wishes did not come"
            time.sleep(0.05)
        channel.queue_purge(names.CANCELS_QUEUE)
    with Replier(system_url, system, names.BATCH_QUEUE):
        found = until(front, where, lambda status: status["state"] == "cancelled")
    assert (found["states"], found["lines"]) == ({"cancelled": 2000}, 2050)
    assert [each["error"]["line"] for each in told(front, f"{where}/failed")] == [*range(1, 2051)]
    assert front.ask("DELETE", where).status_code == 200


def test_a_file_in_the_store_is_run(
    front: Gateway,
    system: System,
    system_url: str,
    start_runner: Callable[[], Process],
    store: str,
) -> None:
    folder = Path(urlsplit(store).path) / "mine"
    folder.mkdir(parents=True)
    (folder / "lines.jsonl").write_bytes(jsonl(*numbered(1, 3)))
    start_runner()
    asked = {"uri": f"{store}/mine/lines.jsonl", "model": "double"}
    where = front.ask("POST", "/v1/batches", json=asked).headers["Location"]
    with Replier(system_url, system, names.BATCH_QUEUE):
        assert until(front, where, lambda status: status["state"] == "done")["succeeded"] == 3
    outside = front.ask("POST", "/v1/batches", json={"uri": f"{store}/../batches.log", "model": "double"})
    assert (outside.status_code, outside.json()["error_class"]) == (404, "forbidden_reference")
    nothing = front.ask("POST", "/v1/batches", json={"uri": f"{store}/nothing", "model": "double"})
    assert (nothing.status_code, nothing.json()["error_class"]) == (404, "missing_data")


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_an_incomplete_upload_creates_no_job(front: Gateway, tmp_path: Path, framing: str) -> None:
    parts = urlsplit(front.url)
    piece = jsonl(*numbered(1, 50))
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        head = f"POST /v1/batches?model=double HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {front.key}\r\n"
        head += f"Content-Type: application/jsonl\r\n{framing}\r\n\r\n"
        chunk = b"%x\r\n%b\r\n" % (len(piece), piece) if "chunked" in framing else piece
        connection.sendall(head.encode() + chunk)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
    assert b" 202 " not in answer.split(b"\r\n")[0]
    end = time.monotonic() + 20
    while found := [file for file in (tmp_path / "store").rglob("*") if file.is_file()]:
        assert time.monotonic() < end, found
        time.sleep(0.05)


def test_the_same_idempotency_key_returns_the_same_job(front: Gateway, tmp_path: Path) -> None:
    def hand_in(number: int, *, query: str = "model=m", key: str | None = None) -> requests.Response:
        headers = {**LINES, "Idempotency-Key": "monday"}
        content = jsonl(*numbered(number, number + 2))
        return front.ask("POST", f"/v1/batches?{query}", data=content, headers=headers, key=key)

    first, again = hand_in(1), hand_in(1)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.json()["id"] == first.json()["id"]
    assert hand_in(1, key=front.make_key("batch")).json()["id"] != first.json()["id"]
    for other in (hand_in(4), hand_in(1, query="model=n")):
        assert (other.status_code, other.json()["error_class"]) == (409, "conflict")
        assert first.json()["id"] in other.json()["detail"]
    kept = [file for file in (tmp_path / "store").rglob("*") if file.is_file()]
    assert len(kept) == 2, "one for each job"
    bad = front.ask("POST", "/v1/batches", data=jsonl({}), headers={**LINES, "Idempotency-Key": "a b"})
    assert bad.status_code == 400


def test_jobs_belong_to_their_key(front: Gateway) -> None:
    where = front.ask("POST", "/v1/batches?model=m", data=jsonl({}), headers=LINES).headers["Location"]
    other, weak = front.make_key("batch"), front.make_key("infer", "read")
    for method, path in (
        ("GET", where),
        ("DELETE", where),
        ("GET", f"{where}/results"),
        ("GET", f"{where}/failed"),
    ):
        assert front.ask(method, path, key=other).status_code == 404
        assert front.ask(method, path, key=weak).status_code == 403
    assert front.ask("POST", "/v1/batches", data=jsonl({}), headers=LINES, key=weak).status_code == 403


def test_jobs_are_listed_newest_first(
    front: Gateway, system: System, system_url: str, start_runner: Callable[[], Process]
) -> None:
    key = front.make_key("batch")

    def listed(query: str = "") -> dict[str, Any]:
        answer = front.ask("GET", f"/v1/batches{query}", key=key)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    assert listed() == {"batches": [], "next": None}
    made: list[str] = []
    for content in (jsonl(*numbered(1, 10), b"{"), jsonl(*numbered(1, 2)), jsonl({})):
        answer = front.ask("POST", "/v1/batches?model=double", data=content, headers=LINES, key=key)
        made.insert(0, answer.json()["id"])
    start_runner()
    with Replier(system_url, system, names.BATCH_QUEUE):
        end = time.monotonic() + 60
        while {each["state"] for each in listed()["batches"]} != {"done"}:
            assert time.monotonic() < end, listed()
            time.sleep(0.1)
    everything = listed()
    assert [each["id"] for each in everything["batches"]] == made
    assert everything["next"] is None
    for each in everything["batches"]:
        assert each == front.ask("GET", f"/v1/batches/{each['id']}", key=key).json()
    counts = [(each["succeeded"], each["failed"], each["refused"]) for each in everything["batches"]]
    assert counts == [(0, 0, 1), (2, 0, 0), (9, 1, 1)]
    first = listed("?limit=2")
    then = listed(f"?limit=2&before={first['next']}")
    assert [each["id"] for each in first["batches"] + then["batches"]] == made
    assert (first["next"], then["next"]) == (made[1], None)
    assert listed("?limit=3")["next"] is None, "there are no older ones"
    assert front.ask("GET", "/v1/batches", key=front.make_key("batch")).json()["batches"] == []
    assert front.ask("GET", "/v1/batches", key=front.make_key("read")).status_code == 403


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=1&limit=2", "before=x", "after=1"]
)
def test_an_invalid_page_is_rejected(front: Gateway, query: str) -> None:
    answer = front.ask("GET", f"/v1/batches?{query}")
    assert answer.status_code == 400
    assert query[:5] in answer.json()["detail"]


@contextmanager
def telling(front: Gateway) -> Iterator[None]:
    """Tell webhooks as their process does."""
    reader, stop = LedgerPool(front.role_url("webhooks"), name="test", connections=4), threading.Event()
    thread = threading.Thread(target=WebhookDispatcher(reader, {"localhost"}).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        reader.close()
    assert not thread.is_alive()


def deliveries(front: Gateway, job_id: str) -> list[tuple[int, bool]]:
    """Return how often each delivery of a job failed, and whether it is done; what failed is due at once."""
    with connected(front.database_url) as connection:
        connection.exec_driver_sql(
            "update webhook_deliveries set next_at = now() where failures > 0 and delivered_at is null "
            "and error is not null and next_at > now() + interval '4 seconds'"
        )
        connection.commit()
        found = connection.exec_driver_sql(
            "select failures, delivered_at is not null from webhook_deliveries where request_id = %s",
            (job_id,),
        )
        return [(row[0], row[1]) for row in found]


def test_the_webhook_of_a_job_is_called_once_and_signed(
    front: Gateway,
    receiver: Receiver,
    system: System,
    system_url: str,
    start_runner: Callable[[], Process],
) -> None:
    hook = front.ask("POST", "/v1/webhooks", json={"url": receiver.url}).json()
    upload = jsonl(*numbered(1, 10), b"{")
    headers = {**LINES, "X-StraightLine-Webhook": hook["id"]}
    made = front.ask("POST", "/v1/batches?model=double", data=upload, headers=headers)
    assert made.status_code == 202
    receiver.refusals = [500]
    start_runner()
    with telling(front), Replier(system_url, system, names.BATCH_QUEUE):
        ended = until(front, made.headers["Location"], lambda status: status["state"] == "done")
        end = time.monotonic() + 30
        while deliveries(front, ended["id"]) != [(1, True)]:  # not taken once, and told again
            assert time.monotonic() < end, deliveries(front, ended["id"])
            time.sleep(0.05)
    ((given, content),) = receiver.taken
    signed = {name.lower(): value for name, value in given.items()}
    wanted = signatures(hook["secret"], signed["webhook-id"], int(signed["webhook-timestamp"]), content)
    assert signed["webhook-signature"] == wanted["webhook-signature"]
    told = json.loads(content)
    assert (told["type"], told["data"]) == ("batch.done", ended)
    assert (ended["succeeded"], ended["failed"], ended["refused"]) == (9, 1, 1)


def job_in_work(connection: Connection, *, webhook: str | None) -> tuple[str, str, str]:
    """Make a job that somebody runs, and return its id, who runs it, and its webhook."""
    key, _ = create_key(connection, "test", ["batch", "webhooks"])
    job_id, owner = new_id(), new_id()
    hook = webhook or webhooks.register(connection, key_id=key.id, url="https://example.com/", secret="x").id
    batches.create_job(
        connection, job_id, key_id=key.id, uri="file:///x", size=1, defaults={}, webhook_id=hook
    )
    connection.exec_driver_sql("update batch_jobs set owner = %s where id = %s", (owner, job_id))
    connection.commit()
    return job_id, owner, hook


def test_only_the_runner_that_ends_a_job_notifies_its_webhook(gateway: Gateway) -> None:
    with connected(gateway.database_url) as connection:
        job_id, owner, hook = job_in_work(connection, webhook=None)
    told: list[batches.Job] = []

    def event(job: batches.Job) -> bytes:
        told.append(job)
        return b"{}"

    with connected(gateway.role_url("batches")) as runner:
        batch_runs.finish_job(runner, job_id, new_id(), "done", event=event)
        assert (told, deliveries(gateway, job_id)) == ([], []), "another process has it"
        for _ in range(2):
            batch_runs.finish_job(runner, job_id, owner, "cancelled", event=event)
    assert [(job.state, job.finished_at is not None) for job in told] == [("cancelled", True)]
    assert deliveries(gateway, job_id) == [(0, False)]
    with connected(gateway.database_url) as connection:
        webhooks.remove(connection, hook)


def test_a_job_with_a_removed_webhook_ends(gateway: Gateway) -> None:
    with connected(gateway.database_url) as connection:
        job_id, owner, _ = job_in_work(connection, webhook=new_id())
        batch_runs.finish_job(connection, job_id, owner, "done", event=lambda _: b"{}")
        ended = connection.exec_driver_sql("select state from batch_jobs where id = %s", (job_id,))
        assert ended.scalar() == "done"
    assert deliveries(gateway, job_id) == []


def test_a_webhook_of_another_key_is_rejected(front: Gateway) -> None:
    def hand_in(webhook_id: str) -> requests.Response:
        headers = {**LINES, "X-StraightLine-Webhook": webhook_id, "Idempotency-Key": "tuesday"}
        return front.ask("POST", "/v1/batches?model=m", data=jsonl({}), headers=headers)

    def hook(key: str | None = None) -> str:
        made = front.ask("POST", "/v1/webhooks", json={"url": "https://example.com/"}, key=key)
        return str(made.json()["id"])

    assert hand_in(hook(front.make_key("webhooks"))).status_code == 404
    first, second = hook(), hook()
    assert [hand_in(each).status_code for each in (first, first, second)] == [202, 202, 409]


@pytest.mark.parametrize(
    ("query", "content", "words"),
    [
        ("", b"", "no lines"),
        ("?modell=m", b"{}", "modell"),
        ("?model=a%20b", b"{}", "parameter"),
        ("?deadline=0", b"{}", "deadline"),
        ("?allow=moon", b"{}", "parameter"),
    ],
)
def test_an_invalid_job_is_rejected_and_leaves_nothing(
    front: Gateway, tmp_path: Path, query: str, content: bytes, words: str
) -> None:
    answer = front.ask("POST", f"/v1/batches{query}", data=content, headers=LINES)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert [file for file in (tmp_path / "store").rglob("*") if file.is_file()] == []


def test_a_compressed_upload_is_rejected(front: Gateway) -> None:
    packed = gzip.compress(jsonl(*numbered(1, 3)))
    headers = LINES | {"Content-Encoding": "gzip"}
    answer = front.ask("POST", "/v1/batches?model=double", data=packed, headers=headers)
    assert (answer.status_code, "gzip" in answer.json()["detail"]) == (400, True)


def test_an_upload_above_the_limit_is_rejected(start_gateway: Callable[..., Gateway], store: str) -> None:
    small = start_gateway(STRAIGHTLINE_STORE=store, STRAIGHTLINE_GATEWAY_MAX_BATCH="100")
    answer = small.ask("POST", "/v1/batches?model=m", data=b"x" * 101, headers=LINES)
    assert answer.status_code == 413
    assert "STRAIGHTLINE_GATEWAY_MAX_BATCH" in answer.json()["detail"]
