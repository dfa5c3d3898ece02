"""Lost requests are found, end once, and their producers are answered."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from straightline import names
from straightline.contracts import Feedback, Lease, Outcome
from straightline.contracts.lease import ReplyGroup
from straightline.ids import new_id
from tests.events import logged

pytestmark = pytest.mark.integration
Make = Callable[..., Outcome]
Wait = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[3]


def _lease(*ids: str, until: float = 0.0, **changes: Any) -> Lease:
    facts: dict[str, Any] = {
        "task_id": new_id(),
        "ids": list(ids),
        "backend": "local",
        "model": "digits",
        "placed_at": time.time() - 90,
        "until": until or time.time() - 1,
    }
    return Lease(**{**facts, **changes})


@pytest.fixture
def reply_key(bench: Any) -> str:
    key = f"{names.REPLY_QUEUE_PREFIX}test"
    bench.channel.queue_declare(key, exclusive=True)
    bench.channel.queue_bind(key, names.REPLIES, key)
    return key


def _open(bench: Any) -> int:
    return int(bench.ask("SELECT count(*) FROM placements WHERE due_at IS NOT NULL")[0][0])


def test_a_lost_request_expires_its_producer_is_answered_and_its_slot_is_freed(
    bench: Any, make_outcome: Make, wait_for: Wait, reply_key: str
) -> None:
    signals = bench.channel.queue_declare("", exclusive=True).method.queue
    bench.channel.queue_bind(signals, names.SIGNALS, "feedback")
    answered, lost = make_outcome(), new_id()
    bench.send([answered])
    awaited = [ReplyGroup(to=reply_key, positions=[0, 1])]
    bench.lease(_lease(answered.request_id, lost, awaited=awaited, class_="batch", batch_id="job"))
    bench.record()
    bench.reconcile()
    properties, body = wait_for(lambda: bench.pop(reply_key), "the answer")
    said = msgspec.json.decode(body, type=Outcome)
    assert (said.request_id, said.state, said.error_class) == (lost, "expired", "lost")
    assert properties.correlation_id == lost
    _, feedback = wait_for(lambda: bench.pop(signals), "the free slot")
    assert [done.id for done in msgspec.json.decode(feedback, type=Feedback).done] == [lost]
    wait_for(lambda: _open(bench) == 0, "the end of the look-out")
    found = bench.ask("SELECT request_id::text, state, error_class, batch_id, attempts FROM outcomes")
    assert sorted(found) == sorted(
        [(answered.request_id, "succeeded", None, None, 1), (lost, "expired", "lost", "job", 1)]
    )
    assert bench.count("duplicate_outcomes") == 0
    assert bench.pop(reply_key) is None


def test_an_unexpired_lease_is_left_alone(bench: Any, wait_for: Wait) -> None:
    bench.lease(_lease(new_id(), until=time.time() + 600), _lease(new_id()))
    bench.record()
    bench.reconcile()
    wait_for(lambda: bench.count() == 1, "the one that ended")
    wait_for(lambda: _open(bench) == 1, "the one that runs being left")


def test_an_outcome_that_waits_for_the_recorder_wins(bench: Any, make_outcome: Make, wait_for: Wait) -> None:
    outcome = make_outcome()
    bench.lease(_lease(outcome.request_id))
    stop = bench.record()
    wait_for(lambda: bench.count("placements") == 1, "the lease")
    stop()
    bench.send([outcome])
    stop = bench.reconcile()
    wait_for(lambda: bench.waiting() == 2, "the reconciler taking it for lost")
    bench.record()
    wait_for(lambda: _open(bench) == 0, "its seeing that it is not")
    assert bench.ask("SELECT state FROM outcomes") == [("succeeded",)]
    assert bench.count("duplicate_outcomes") == 0, "nothing ran twice"


def test_a_late_outcome_is_a_duplicate_and_changes_nothing(
    bench: Any, make_outcome: Make, wait_for: Wait
) -> None:
    late = make_outcome()
    bench.lease(_lease(late.request_id))
    bench.record()
    bench.reconcile()
    wait_for(lambda: bench.count() == 1, "its being lost")
    bench.send([late])
    wait_for(lambda: bench.count("duplicate_outcomes") == 1, "the late answer")
    assert bench.ask("SELECT error_class FROM outcomes") == [("lost",)]


def test_no_request_is_lost_while_the_recorder_is_behind(
    bench: Any, make_outcome: Make, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    outcomes = [make_outcome() for _ in range(1_100)]
    bench.lease(_lease(outcomes[-1].request_id))
    stop = bench.record()
    wait_for(lambda: bench.count("placements") == 1, "the lease")
    stop()
    for outcome in outcomes:
        bench.publisher.publish(bench.outgoing([outcome]))
    wait_for(lambda: bench.waiting() == 1_100, "the messages")
    bench.reconcile()
    wait_for(lambda: logged(caplog, "recorder_is_behind"), "the reconciler noticing")
    assert bench.waiting() == 1_100
    bench.record()
    wait_for(lambda: _open(bench) == 0, "the end of the look-out")
    assert bench.ask("SELECT count(*) FROM outcomes WHERE error_class = 'lost'") == [(0,)]


def test_one_of_two_reconcilers_is_active_and_the_other_takes_over(bench: Any, wait_for: Wait) -> None:
    bench.record()
    stop = bench.reconcile()
    bench.reconcile()

    def holders() -> int:
        sql = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(bench.ask(sql)[0][0])

    wait_for(lambda: holders() == 1, "the lead")
    bench.lease(_lease(new_id()))
    wait_for(lambda: bench.count() == 1, "the first one's work")
    stop()
    bench.lease(_lease(new_id()))
    wait_for(lambda: bench.count() == 2, "the second one's work")
    assert holders() == 1


def test_a_lost_postgres_connection_costs_leadership_but_no_work(bench: Any, wait_for: Wait) -> None:
    bench.record()
    bench.reconcile()
    bench.lease(_lease(new_id()))
    wait_for(lambda: bench.count() == 1, "the first one")
    bench.do(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'test' AND datname = current_database()"
    )
    bench.lease(_lease(new_id()))
    wait_for(lambda: bench.count() == 2, "the second one")


def test_recorders_go_first_after_a_postgres_outage(
    bench: Any, make_outcome: Make, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bench.record()
    bench.reconcile(recorder_head_start=5.0)
    bench.lease(_lease(new_id()))
    wait_for(lambda: bench.count() == 1, "its work before")
    bench.do(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'test' AND datname = current_database()"
    )
    outcome = make_outcome()
    bench.lease(_lease(outcome.request_id))
    wait_for(lambda: logged(caplog, "recorder_goes_first"), "the reconciler's patience")
    bench.publisher.publish(bench.outgoing([outcome]))
    wait_for(lambda: _open(bench) == 0, "the end of the look-out")
    assert bench.ask("SELECT count(*) FROM outcomes WHERE error_class = 'lost'") == [(1,)]
    assert bench.count() == 2
    assert bench.count("duplicate_outcomes") == 0


def test_many_lost_requests_all_end(bench: Any, wait_for: Wait) -> None:
    bench.lease(*(_lease(*(new_id() for _ in range(5))) for _ in range(600)))
    bench.record()
    bench.reconcile()
    wait_for(lambda: bench.count() == 3_000, "all of them")
    wait_for(lambda: _open(bench) == 0, "the end of the look-out")
    assert bench.count("duplicate_outcomes") == 0


def test_the_active_reconciler_creates_partitions(bench: Any, wait_for: Wait) -> None:
    bench.reconcile()
    sql = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'outcomes'::regclass"
    wait_for(lambda: bench.ask(sql) == [(16,)], "fifteen days and the default")


def test_it_runs_as_a_process_and_stops_within_seconds_of_sigterm(bench: Any, wait_for: Wait) -> None:
    lost = new_id()
    bench.lease(_lease(lost))
    bench.record()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRAIGHTLINE_")}
    environment = {
        **kept,
        "STRAIGHTLINE_BROKER_URL": bench.broker_url,
        "STRAIGHTLINE_DATABASE_URL": bench.database_url,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "outcomes", "reconcile"], cwd=ROOT, env=environment
    ) as process:
        try:
            wait_for(lambda: bench.count() == 1, "its work")
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert time.monotonic() - asked < 10
        finally:
            process.kill()
    shown = subprocess.run(
        [sys.executable, "-m", "outcomes", "show", lost, "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(shown.stdout)["error_class"] == "lost"
