"""A file of requests as one job, on a real broker; a `Replier` stands for the rest of the system."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pika
import pytest

from straightline import names
from straightline.batch.items import Defaults
from straightline.batch.jobs import Connections, Report, run
from straightline.batch.journal import journal_path
from straightline.contracts import Outcome, Request, decode_request
from straightline.errors import ConfigurationError
from tests.integration.straightline.replier import Replier, echo

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
LINES = 300


def v2(number: int) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "INT32", "data": [number]}]}


def write(path: Path, count: int = LINES) -> Path:
    path.write_text(
        "".join(json.dumps({"custom_id": f"c{n}", "data": v2(n)}) + "\n" for n in range(1, count + 1))
    )
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def number_of(request: Request) -> int:
    (number,) = json.loads(bytes(request.infer_request().inputs[0].data))
    return int(number)


def some_fail(request: Request) -> Outcome:
    if number_of(request) % 10 == 0:
        return Outcome(
            request_id=request.id,
            state="failed",
            finished_at=time.time(),
            error_class="model_error",
            error="it stumbled",
        )
    return echo(request)


def batch(url: str, *arguments: object, command: str = "submit") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "straightline", "batch", command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "STRAIGHTLINE_BROKER_URL": url},
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def start(url: str, source: Path, out: Path, **options: Any) -> Report:
    return run(source, out, Connections(broker_url=url), defaults=Defaults(model="digits"), **options)


def batch_replier(url: str, answer: Callable[[Request], Outcome] = echo) -> Replier:
    return Replier(url, answer, names.BATCH_QUEUE)


def answer_backwards(url: str) -> None:
    """Answer what comes in heaps of fifty, the last one of each first."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        heap: list[tuple[Any, bytes]] = []
        for count, (method, properties, body) in enumerate(channel.consume(names.BATCH_QUEUE), 1):
            heap.append((properties, body))
            channel.basic_ack(method.delivery_tag)
            if len(heap) < 50:
                continue
            for given, text in reversed(heap):
                content = msgspec.json.encode(echo(decode_request(text)))
                told = pika.BasicProperties(correlation_id=given.correlation_id)
                channel.basic_publish(names.REPLIES, given.reply_to, content, told)
            heap.clear()
            if count == LINES:
                return


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)


def test_every_line_has_a_result_or_is_in_the_report(broker_url: str, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    with batch_replier(broker_url, some_fail) as replier:
        code, told, shown = finished(batch(broker_url, source, "--model", "digits", "--out", out, "--watch"))
    assert (code, "30 failed" in told) == (1, True)
    assert "300 lines" in shown
    answered, failed = read(out), read(tmp_path / "out.jsonl.failed")
    assert sorted([each["line"] for each in answered] + [each["error"]["line"] for each in failed]) == [
        *range(1, LINES + 1)
    ]
    assert all(each["custom_id"] == f"c{each['line']}" for each in answered)
    assert all(each["result"] == v2(each["line"]) for each in answered)
    assert {request.class_ for request in replier.requests} == {"batch"}
    assert len({request.batch_id for request in replier.requests}) == 1
    assert not journal_path(out).exists()

    with batch_replier(broker_url):  # and these can be submitted again
        again = start(broker_url, tmp_path / "out.jsonl.failed", tmp_path / "again.jsonl")
    assert (again.state, again.succeeded, again.failed) == ("done", 30, 0)
    assert {each["custom_id"] for each in read(tmp_path / "again.jsonl")} == {
        each["custom_id"] for each in failed
    }


def test_answers_may_be_written_in_the_order_of_the_input(broker_url: str, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    answering = threading.Thread(target=answer_backwards, args=(broker_url,))
    answering.start()
    report = start(broker_url, source, out, ordered=True)
    answering.join(20)
    assert report.succeeded == LINES
    assert [each["line"] for each in read(out)] == [*range(1, LINES + 1)]


def test_invalid_lines_are_reported_by_number_and_valid_ones_finished(
    broker_url: str, tmp_path: Path
) -> None:
    source, out, report = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "bad.jsonl"
    good = json.dumps({"custom_id": "same", "data": v2(1)})
    large = json.dumps({"custom_id": "large", "data": v2(1) | {"parameters": {"x": "y" * 17_000_000}}})
    source.write_text("\n".join([good, "{", "", good, '{"data": {"inputs": 7}}', large, json.dumps(v2(2))]))
    with batch_replier(broker_url):
        code, told, _ = finished(
            batch(broker_url, source, "--model", "m", "--out", out, "--failed", report, "--json")
        )
    assert code == 6
    assert json.loads(told) | {"job": ""} == {
        "job": "",
        "state": "done",
        "lines": 6,
        "succeeded": 2,
        "failed": 0,
        "refused": 4,
        "out": str(out),
        "failed_file": str(report),
    }
    assert {each["line"] for each in read(out)} == {1, 7}
    assert {each["error"]["line"]: each["error"]["error_class"] for each in read(report)} == {
        2: "malformed",
        4: "duplicate",
        5: "wrong_type",
        6: "too_large",
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("order", [(), ("--ordered",)])
def test_an_interrupted_job_resumes_without_repeating_finished_lines(
    broker_url: str, tmp_path: Path, number: signal.Signals, order: tuple[str, ...]
) -> None:
    source, out = write(tmp_path / "in.jsonl", 2500), tmp_path / "out.jsonl"
    open_gate = threading.Event()
    gated: list[int] = []

    def gate(request: Request) -> Outcome:
        if len(gated) >= 1000:
            open_gate.wait(60)
        gated.append(number_of(request))
        return echo(request)

    arguments = (source, "--model", "digits", "--out", out, *order)
    with batch_replier(broker_url, gate) as replier:
        first = batch(broker_url, *arguments)
        until(lambda: out.exists() and out.read_bytes().count(b"\n") >= 1000, "a part of the answers")
        first.send_signal(number)
        code, told, _ = finished(first)
        safe = {each["line"] for each in read(out)} if number is signal.SIGINT else set()
        assert code == (130 if number is signal.SIGINT else -signal.SIGKILL), told
        open_gate.set()
        assert journal_path(out).exists()
        until(lambda: len(gated) >= 2000, "the rest of what was on its way")
        seen = len(replier.requests)
        code, told, _ = finished(batch(broker_url, *arguments))
        assert code == 0, told
        repeated = {number_of(request) for request in replier.requests[seen:]} & safe
    assert not repeated
    lines = [each["line"] for each in read(out)]
    assert Counter(lines) == Counter(range(1, 2501))
    assert not order or lines == sorted(lines)
    ids: dict[int, str] = {}
    for request in replier.requests:
        assert ids.setdefault(number_of(request), request.id) == request.id
    assert not journal_path(out).exists()


def test_results_of_requests_in_flight_reach_the_resumed_job(broker_url: str, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", 50), tmp_path / "out.jsonl"
    arguments = (source, "--model", "digits", "--out", out)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel: Any = connection.channel()

        def waiting() -> int:
            return int(channel.queue_declare(names.BATCH_QUEUE, passive=True).method.message_count)

        first = batch(broker_url, *arguments)
        until(lambda: waiting() == 50, "all lines")
        first.send_signal(signal.SIGINT)
        assert finished(first)[0] == 130
        taken = channel.consume(names.BATCH_QUEUE, auto_ack=True, inactivity_timeout=20)
        on_their_way = [next(taken) for _ in range(50)]
        channel.cancel()
        second = batch(broker_url, *arguments)
        until(lambda: waiting() == 50, "the same once more, which nobody answers")
        for _, given, body in on_their_way:
            content = msgspec.json.encode(echo(decode_request(body)))
            properties = pika.BasicProperties(correlation_id=given.correlation_id)
            channel.basic_publish(names.REPLIES, given.reply_to, content, properties)
        code, told, _ = finished(second)
        channel.queue_purge(names.BATCH_QUEUE)
    assert code == 0, told
    assert Counter(each["line"] for each in read(out)) == Counter(range(1, 51))


def test_another_job_does_not_take_up_a_journal_that_is_not_its_own(broker_url: str, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    stopping = iter([False] * 3 + [True] * 100)
    assert start(broker_url, source, out, stop=lambda: next(stopping)).state == "stopped"
    with pytest.raises(ConfigurationError, match="ordered differ"):
        start(broker_url, source, out, ordered=True)
    write(source, LINES + 1)
    with pytest.raises(ConfigurationError, match="size, digest differ"):
        start(broker_url, source, out)


def test_an_existing_output_is_not_overwritten_by_default(broker_url: str, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    out.write_text("precious")
    code, _, told = finished(batch(broker_url, source, "--model", "m", "--out", out))
    assert (code, out.read_text()) == (2, "precious")
    assert "--overwrite" in told
    with batch_replier(broker_url):
        assert start(broker_url, source, out, overwrite=True).succeeded == 3
    assert len(read(out)) == 3


def cancelled_ids(url: str) -> list[str]:
    """Take the wishes to cancel from their queue."""
    found = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for method, _, body in channel.consume(names.CANCELS_QUEUE, auto_ack=True, inactivity_timeout=0.5):
            if method is None:
                break
            found.append(json.loads(body)["id"])
    return found


def end_cancelled(request: Request) -> Outcome:
    return Outcome(
        request_id=request.id, state="cancelled", finished_at=time.time(), error_class="cancelled", error="so"
    )


@pytest.mark.parametrize("running", [True, False])
def test_a_job_is_given_up_whether_it_runs_or_not(broker_url: str, tmp_path: Path, running: bool) -> None:
    source, out = write(tmp_path / "in.jsonl", 2100), tmp_path / "out.jsonl"
    first = batch(broker_url, source, "--model", "digits", "--out", out)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel: Any = connection.channel()
        until(
            lambda: channel.queue_declare(names.BATCH_QUEUE, passive=True).method.message_count == 2000,
            "a full window",
        )
    if not running:
        first.send_signal(signal.SIGINT)
        assert finished(first)[0] == 130
    giver = batch(broker_url, out, command="cancel")
    wished: set[str] = set()

    def all_wished() -> bool:
        wished.update(cancelled_ids(broker_url))
        return len(wished) == 2000

    until(all_wished, "the wishes")
    with batch_replier(broker_url, end_cancelled):
        code, told, error = finished(giver)
        assert code == 0, told + error
        if running:
            code, told, _ = finished(first)
            assert (code, "cancelled" in told) == (1, True), told
    failed = read(tmp_path / "out.jsonl.failed")
    assert sorted(each["error"]["line"] for each in failed) == [*range(1, 2101)]
    assert {each["error"].get("id") for each in failed} == wished | {None}
    assert not list(tmp_path.glob("out.jsonl.job*"))


def test_there_is_nothing_to_give_up_without_a_job(broker_url: str, tmp_path: Path) -> None:
    code, _, told = finished(batch(broker_url, tmp_path / "out.jsonl", command="cancel"))
    assert (code, "no unfinished job" in told) == (2, True)


def test_without_a_broker_nothing_is_begun(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    code, _, told = finished(
        batch(
            "amqp://u:secret@127.0.0.1:1/", source, "--model", "m", "--out", out, "--confirm-timeout", "0.5"
        )
    )
    assert code == 3
    assert "secret" not in told
