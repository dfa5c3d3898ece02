"""A pool answers what it is placed, loses nothing, and outlives what it cannot read."""

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from straightline import names
from straightline.contracts import FailedAttempts, Feedback, Outcome
from tests.integration.modelkit.processes import until
from tests.integration.workers.worker_process import WorkerProcess

pytestmark = pytest.mark.integration
QUEUE = names.backend_queue("local")


def values(outcome: Outcome) -> list[float]:
    return list(msgspec.json.decode(outcome.result)["outputs"][0]["data"])


def test_one_request_brings_one_outcome_one_reply_and_one_feedback(bench: Any, start_worker: Any) -> None:
    start_worker()
    bench.place(bench.ticket([1.0, 2.0]))
    (outcome,) = bench.outcomes(1)
    assert (outcome.state, outcome.backend, values(outcome)) == ("succeeded", "local", [2.0, 4.0])
    (attempt,) = outcome.attempts
    assert attempt.succeeded
    assert attempt.service > 0
    assert attempt.worker is not None
    assert attempt.worker.startswith("local@")
    assert outcome.cost is not None
    assert outcome.cost > 0
    assert msgspec.json.decode(bench.get(bench.replies), type=Outcome) == outcome
    feedback = msgspec.json.decode(bench.get(bench.feedback), type=Feedback)
    assert [(done.id, done.state) for done in feedback.done] == [(outcome.request_id, "succeeded")]


def test_coalesced_requests_are_one_call_and_each_has_its_own_outcome(
    bench: Any, start_worker: Any, v2_server: Any
) -> None:
    start_worker()
    tickets = [bench.ticket([float(n), 0.0] * (n % 3 + 1)) for n in range(8)]
    bench.place(*tickets)
    outcomes = {outcome.request_id: outcome for outcome in bench.outcomes(8)}
    assert v2_server.calls == [sum(n % 3 + 1 for n in range(8))]
    for n, ticket in enumerate(tickets):
        outcome = outcomes[msgspec.json.decode(ticket.request)["id"]]
        assert values(outcome) == [2.0 * n, 0.0] * (n % 3 + 1)


def test_a_bad_request_does_not_spoil_the_others(bench: Any, start_worker: Any) -> None:
    start_worker()
    bench.place(bench.ticket([1.0, 1.0]), bench.ticket([-1.0, 0.0]), bench.ticket([2.0, 2.0]))
    outcomes = bench.outcomes(3)
    assert sorted(outcome.state for outcome in outcomes) == ["failed", "succeeded", "succeeded"]
    (failed,) = (outcome for outcome in outcomes if outcome.state == "failed")
    assert (failed.error_class, failed.error) == ("model_error", "x is below zero")


def test_a_request_with_too_little_data_is_rejected_and_the_other_succeeds(
    bench: Any, start_worker: Any
) -> None:
    start_worker()
    bench.place(bench.ticket([1.0, 1.0]), bench.ticket([1.0, 2.0, 3.0]))
    outcomes = {outcome.state: outcome for outcome in bench.outcomes(2)}
    assert outcomes.keys() == {"succeeded", "rejected"}
    wrong = outcomes["rejected"]
    assert (wrong.error_class, wrong.error, len(wrong.attempts)) == ("wrong_inputs", "x is too short", 1)


def test_a_dead_server_gives_requests_back_for_placement(
    bench: Any, start_worker: Any, v2_server: Any
) -> None:
    start_worker()
    v2_server.close()
    ticket = bench.ticket([1.0, 2.0])
    bench.place(ticket)
    (failed,) = msgspec.json.decode(bench.get(bench.attempts), type=FailedAttempts).failed
    assert failed.attempt.error_class in ("unreachable", "crashed")
    assert failed.ticket.request == ticket.request
    bench.wait_for("an unhealthy heartbeat", lambda: not bench.heartbeat().healthy)


def test_a_request_past_its_deadline_is_not_executed(bench: Any, start_worker: Any, v2_server: Any) -> None:
    start_worker()
    bench.place(bench.ticket([1.0, 2.0], deadline=-1.0))
    (outcome,) = bench.outcomes(1)
    assert (outcome.state, outcome.attempts) == ("expired", [])
    assert v2_server.calls == []


HEADERS = {"task": names.PREDICT_TASK, "id": "5"}
MALFORMED: dict[str, tuple[bytes, dict[str, Any] | None, dict[str, Any]]] = {
    "no headers": (b"[[[]],{},{}]", None, {}),
    "no id": (b"[[[]],{},{}]", {"task": names.PREDICT_TASK}, {}),
    "a list for an id": (b"[[[]],{},{}]", HEADERS | {"id": ["5"]}, {}),
    "a list for a task": (b"[[[]],{},{}]", HEADERS | {"task": [names.PREDICT_TASK]}, {}),
    "an unknown task": (b"[[[]],{},{}]", HEADERS | {"task": "os.system"}, {}),
    "a bad timelimit": (b"[[[]],{},{}]", HEADERS | {"timelimit": [1]}, {}),
    "an eta": (b"[[[]],{},{}]", HEADERS | {"eta": "tomorrow"}, {}),
    "a scalar body": (b"5", HEADERS, {}),
    "a null body": (b"null", HEADERS, {}),
    "an empty body": (b"", HEADERS, {}),
    "a body of two": (b"[[[]],{}]", HEADERS, {}),
    "a body of four": (b"[[[]],{},{},{}]", HEADERS, {}),
    "no tickets": (b"[[[]],{},{}]", HEADERS, {}),
    "tickets that are none": (b"[[[{}]],{},{}]", HEADERS, {}),
    "deep JSON": (b"[" * 200_000, HEADERS, {}),
    "deep JSON without headers": (b"[" * 200_000, {}, {}),
    "protocol 1": (b'{"task":"straightline.predict","id":"5","args":[],"kwargs":{}}', {}, {}),
    "truncated JSON": (b"[[[", HEADERS, {}),
    "bytes that are not UTF-8": (b"\xff\xfe", HEADERS, {}),
    "pickle": (b"\x80\x04.", HEADERS, {"content_type": "application/x-python-serialize"}),
    "an unknown encoding": (b"[[[]],{},{}]", HEADERS, {"content_encoding": "klingon"}),
    "a compressed body": (b"x", HEADERS | {"compression": "application/x-gzip"}, {}),
    "no content type": (b"[[[]],{},{}]", HEADERS, {"content_type": None}),
}


def test_malformed_messages_are_dead_lettered_and_the_worker_goes_on(bench: Any, start_worker: Any) -> None:
    worker = start_worker()
    for body, headers, properties in MALFORMED.values():
        bench.publish(body, headers, **properties)
    bench.wait_for("all of them", lambda: bench.depth(names.DEAD_QUEUE) == len(MALFORMED))
    bench.place(bench.ticket([1.0, 2.0]))
    (outcome,) = bench.outcomes(1)
    assert outcome.state == "succeeded"
    assert worker.process.poll() is None
    assert "Traceback" not in worker.log


def test_a_stopping_worker_finishes_running_tasks_and_requeues_the_rest(
    bench: Any, start_worker: Callable[..., Any], v2_server: Any
) -> None:
    worker = start_worker(slots=1)
    v2_server.gate.clear()
    for n in range(3):
        bench.place(bench.ticket([float(n), 0.0]))
    bench.wait_for("a call", lambda: len(v2_server.calls) == 1)
    worker.process.send_signal(signal.SIGTERM)
    while not bench.heartbeat().closing:
        pass
    v2_server.gate.set()
    assert worker.process.wait(20) == 0
    (first,) = bench.outcomes(1)
    assert first.state == "succeeded"
    bench.wait_for("the other two", lambda: bench.depth(QUEUE) == 2)
    assert bench.depth(names.OUTCOMES_QUEUE) == 0
    start_worker()
    assert {outcome.state for outcome in bench.outcomes(2)} == {"succeeded"}
    assert len(v2_server.calls) == 3


def test_a_killed_workers_placement_is_executed_by_the_next(
    bench: Any, start_worker: Callable[..., Any], v2_server: Any
) -> None:
    worker = start_worker()
    v2_server.gate.clear()
    bench.place(bench.ticket([1.0, 2.0]))
    bench.wait_for("a call", lambda: len(v2_server.calls) == 1)
    worker.end(signal.SIGKILL)
    v2_server.gate.set()
    start_worker()
    (outcome,) = bench.outcomes(1)
    assert (outcome.state, values(outcome)) == ("succeeded", [2.0, 4.0])
    assert bench.depth(names.OUTCOMES_QUEUE) == 0


def test_a_worker_survives_the_loss_of_its_connections(
    bench: Any, start_worker: Callable[..., Any], v2_server: Any, broker_admin: Any, broker_url: str
) -> None:
    worker = start_worker()
    v2_server.gate.clear()
    bench.place(bench.ticket([1.0, 2.0]))
    bench.wait_for("a call", lambda: len(v2_server.calls) == 1)
    broker_admin.ctl("close_all_connections", "--vhost", broker_url.rpartition("/")[2], "a test")
    v2_server.gate.set()
    bench.connect()
    (interrupted,) = bench.outcomes(1)
    assert interrupted.state == "succeeded"
    second = bench.ticket([3.0, 4.0])
    bench.place(second)
    wanted = msgspec.json.decode(second.request)["id"]
    # The interrupted one may come twice: it could not be acknowledged on a connection that was gone.
    while bench.outcomes(1)[0].request_id != wanted:
        pass
    assert worker.process.poll() is None


def test_a_worker_without_a_broker_waits_for_it_and_can_be_stopped(
    worker_environ: dict[str, str], v2_server: Any
) -> None:
    worker = WorkerProcess(worker_environ | {"STRAIGHTLINE_BROKER_URL": "amqp://x:y@127.0.0.1:9/"})
    try:
        until(lambda: "Trying again" in worker.log, "it tries again")
        assert worker.end() == 0
    finally:
        worker.close()


LOCAL = ["-Q", "straightline.local"]


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ([], {}, "cannot choose a backend: the worker consumes"),
        (
            ["-Q", "straightline.local,straightline.serverless"],
            {},
            "cannot choose a backend: the worker consumes",
        ),
        ([*LOCAL, "-P", "solo"], {}, "start it with -P threads"),
        (LOCAL, {"STRAIGHTLINE_BROKER_URL": ""}, "STRAIGHTLINE_BROKER_URL is not set"),
        (LOCAL, {"STRAIGHTLINE_LOCAL_URL": ""}, "STRAIGHTLINE_LOCAL_URL is not set"),
        (LOCAL, {"STRAIGHTLINE_MODELS_DIR": "/nonexistent"}, "no directory of models at /nonexistent"),
    ],
)
def test_a_worker_that_cannot_start_reports_the_remedy(
    worker_environ: dict[str, str], options: list[str], changes: dict[str, str], message: str
) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers", "worker", *options],
        env=worker_environ | changes,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode != 0
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_a_second_worker_of_one_name_is_refused_with_a_message(
    start_worker: Any, worker_environ: Any
) -> None:
    first = start_worker()
    second = WorkerProcess(worker_environ)
    assert second.process.wait(40) == 1
    second.close()
    assert "another worker with the name local@" in second.log
    assert first.process.poll() is None
