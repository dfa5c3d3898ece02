import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from outcomes.recording.request_log import RequestLog
from outcomes.rows.row_mapping import Entry
from outcomes.schema.migrate import upgrade
from straightline import names
from straightline.contracts import Lease, Outcome, Recall, ReplyAddress
from straightline.contracts.lease import ReplyGroup
from straightline.ids import new_id
from straightline.support.logs import LogOutput
from tests.events import logged, logged_lines

pytestmark = pytest.mark.integration
Make = Callable[..., Outcome]
Wait = Callable[..., Any]


def test_outcomes_are_recorded_and_acknowledged(bench: Any, make_outcome: Make, wait_for: Wait) -> None:
    for _ in range(40):
        bench.send([make_outcome() for _ in range(5)])
    stop = bench.record()
    wait_for(lambda: bench.count() == 200, "recording")
    stop()
    assert bench.count("attempts") == 200
    assert bench.waiting() == 0


def test_a_crash_between_commit_and_acknowledgement_leaves_one_outcome(
    bench: Any, make_outcome: Make, wait_for: Wait
) -> None:
    bench.send([make_outcome() for _ in range(10)])
    crash = bench.record(acknowledge=False)
    wait_for(lambda: bench.count() == 10, "the commit")
    crash()
    wait_for(lambda: bench.waiting() == 1, "redelivery")
    bench.send([make_outcome()])
    stop = bench.record()
    wait_for(lambda: bench.count() == 11, "the next outcome")
    stop()
    assert (bench.waiting(), bench.count("duplicate_outcomes"), bench.count("attempts")) == (0, 0, 11)


@contextmanager
def _locked(bench: Any) -> Iterator[None]:
    engine = create_engine(bench.database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE outcomes IN ACCESS EXCLUSIVE MODE")
        yield
    engine.dispose()


@contextmanager
def _altered(bench: Any, change: str, back: str) -> Iterator[None]:
    url = make_url(bench.database_url)
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'"  # noqa: S608
    with engine.connect() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{url.database}" {change}')
        connection.exec_driver_sql(kill)
        try:
            yield
        finally:
            connection.exec_driver_sql(f'ALTER DATABASE "{url.database}" {back}')
            connection.exec_driver_sql(kill)
    engine.dispose()


def _closed(bench: Any) -> Any:
    return _altered(bench, "ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true")


def _read_only(bench: Any) -> Any:
    return _altered(bench, "SET default_transaction_read_only = on", "RESET default_transaction_read_only")


@pytest.mark.parametrize("outage", [_locked, _closed, _read_only])
def test_messages_are_held_through_a_postgres_outage(
    bench: Any, make_outcome: Make, wait_for: Wait, outage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stop = bench.record()
    bench.send([make_outcome()])
    wait_for(lambda: bench.count() == 1, "the first outcome")
    with outage(bench):
        for _ in range(20):
            bench.send([make_outcome()])
        wait_for(lambda: logged(caplog, "batch_held"), "the recorder noticing")
        assert bench.waiting() == 0
    bench._engine.dispose()
    wait_for(lambda: bench.count() == 21, "recording after the outage")
    stop()
    assert bench.waiting() == 0
    assert bench.waiting(names.DEAD_QUEUE) == 0
    assert bench.count("duplicate_outcomes") == 0


def test_a_recorder_may_start_before_the_migration(
    bench: Any, database_url: str, make_outcome: Make, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    bench.send([make_outcome()])
    bench.record(database_url=database_url)
    wait_for(lambda: "python -m outcomes migrate" in str(logged(caplog, "batch_held")), "the hint to migrate")
    upgrade(database_url)
    engine = create_engine(database_url)
    with engine.connect() as connection:

        def recorded() -> bool:
            rows = connection.exec_driver_sql("SELECT count(*) FROM outcomes").scalar_one()
            connection.rollback()
            return bool(rows == 1)

        wait_for(recorded, "recording after the migration")
    engine.dispose()


def test_a_lost_broker_connection_is_reopened(
    bench: Any, broker_admin: Any, make_outcome: Make, wait_for: Wait
) -> None:
    bench.record()
    bench.send([make_outcome()])
    wait_for(lambda: bench.count() == 1, "the first outcome")
    vhost = bench.broker_url.rpartition("/")[2]
    broker_admin.ctl("close_all_connections", "--vhost", vhost, "a test")
    bench.send([make_outcome()])
    wait_for(lambda: bench.count() == 2, "recording on a new connection")


def test_a_refused_row_is_dead_lettered_alone(bench: Any, make_outcome: Make, wait_for: Wait) -> None:
    bench.do("ALTER TABLE outcomes ADD CHECK (model <> 'cursed')")
    cursed = make_outcome(model="cursed")
    bench.send([make_outcome(), make_outcome(), cursed, make_outcome()])
    bench.send([make_outcome()])
    stop = bench.record()
    properties, body = wait_for(lambda: bench.pop(names.DEAD_QUEUE), "the dead letter")
    wait_for(lambda: bench.count() == 4, "the others")
    stop()
    assert msgspec.json.decode(body, type=Outcome).request_id == cursed.request_id
    assert "check constraint" in properties.headers["x-straightline-reason"]
    assert bench.waiting() == 0


@pytest.mark.parametrize("kind", [names.TYPE_LEASES, names.TYPE_RECALL])
def test_a_refused_lease_or_recall_is_dead_lettered_and_the_rest_of_its_batch_is_recorded(
    bench: Any, make_outcome: Make, wait_for: Wait, kind: str
) -> None:
    bench.do("ALTER TABLE placements ADD CHECK (model <> 'cursed')")
    bench.do("ALTER TABLE duplicate_requests ADD CHECK (digest <> 'cursed')")
    outcomes = [make_outcome() for _ in range(3)]
    bench.lease(
        *(
            Lease(task_id=new_id(), ids=[new_id()], backend="local", model=model, placed_at=1, until=2)
            for model in ("m", "cursed" if kind == names.TYPE_LEASES else "m")
        )
    )
    bench.send(outcomes)
    for digest in ("d", "cursed" if kind == names.TYPE_RECALL else "d"):
        recall = Recall(request_id=outcomes[0].request_id, digest=digest, conflict=False, seen_at=time.time())
        bench.recall(recall)
    stop = bench.record()
    properties, body = wait_for(lambda: bench.pop(names.DEAD_QUEUE), "the dead letter")
    wait_for(lambda: bench.count() == 3, "the outcomes")
    stop()
    assert (properties.type, b"cursed" in body) == (kind, True)
    assert "check constraint" in properties.headers["x-straightline-reason"]
    kept = (bench.count("placements"), bench.count("duplicate_requests"))
    assert kept == ((1, 2) if kind == names.TYPE_LEASES else (2, 1))
    assert (bench.waiting(), bench.waiting(names.DEAD_QUEUE)) == (0, 0)


def test_undecodable_messages_are_dead_lettered_and_the_next_is_recorded(
    bench: Any, make_outcome: Make, wait_for: Wait
) -> None:
    stop = bench.record()
    bodies = [b"{", b"\xff" * 100, b"[" * 50_000, b"null"]
    for body in bodies:
        bench.send_body(body)
    bench.send_body(b"{}", kind="straightline.unknown")
    bench.send([make_outcome()])
    wait_for(lambda: bench.count() == 1, "the good one")
    wait_for(lambda: bench.waiting(names.DEAD_QUEUE) == len(bodies) + 1, "dead letters")
    stop()
    assert bench.waiting() == 0


@pytest.fixture
def reply_key(bench: Any) -> str:
    key = f"{names.REPLY_QUEUE_PREFIX}test"
    bench.channel.queue_declare(key, exclusive=True)
    bench.channel.queue_bind(key, names.REPLIES, key)
    return key


@pytest.mark.parametrize("conflict", [False, True])
def test_a_repeated_id_is_recorded_and_answered(
    bench: Any, make_outcome: Make, wait_for: Wait, reply_key: str, *, conflict: bool
) -> None:
    bench.record()
    outcome = make_outcome()
    bench.send([outcome])
    address = ReplyAddress(to=reply_key, correlation_id="c-1")
    bench.recall(
        Recall(
            request_id=outcome.request_id, digest="x", conflict=conflict, seen_at=time.time(), reply=address
        )
    )
    properties, body = wait_for(lambda: bench.pop(reply_key), "the answer")
    said = msgspec.json.decode(body, type=Outcome)
    assert (properties.correlation_id, properties.type) == ("c-1", names.TYPE_OUTCOME)
    assert said.request_id == outcome.request_id
    if conflict:
        assert (said.state, said.error_class) == ("rejected", "conflict")
    else:
        assert (said.state, said.backend, bytes(said.result)) == ("succeeded", "local", bytes(outcome.result))
        assert said.attempts[0].reason == outcome.attempts[0].reason
    assert bench.ask("SELECT state FROM outcomes") == [("succeeded",)]
    assert bench.ask("SELECT conflict FROM duplicate_requests") == [(conflict,)]


def test_a_repeated_id_without_an_outcome_is_retried_until_it_has_one(
    bench: Any, make_outcome: Make, wait_for: Wait, reply_key: str
) -> None:
    returns = bench.channel.queue_declare("", exclusive=True).method.queue
    bench.channel.queue_bind(returns, names.RETURNS)
    bench.record()
    outcome = make_outcome()
    address = ReplyAddress(to=reply_key, correlation_id="c-1")
    recall = Recall(
        request_id=outcome.request_id, digest="x", conflict=False, seen_at=time.time(), reply=address
    )
    bench.recall(recall)
    properties, body = wait_for(lambda: bench.pop(returns), "its return from the delay")
    assert (properties.type, msgspec.json.decode(body, type=Recall)) == (names.TYPE_RECALL, recall)
    assert bench.count("duplicate_requests") == 1
    bench.send([outcome])
    bench.recall(recall)  # as the scheduler sends it on
    wait_for(lambda: bench.pop(reply_key), "the answer")
    assert bench.waiting(returns) == 0


def test_an_id_that_has_no_outcome_after_a_day_is_given_up(
    bench: Any, wait_for: Wait, reply_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench.record()
    address = ReplyAddress(to=reply_key, correlation_id="c-1")
    bench.recall(Recall(request_id=new_id(), digest="x", conflict=False, seen_at=1.0, reply=address))
    wait_for(lambda: logged(caplog, "repeated_request_has_no_outcome"), "the note in the log")
    assert bench.count("duplicate_requests") == 1


def test_leases_are_recorded_once_however_often_they_are_delivered(bench: Any, wait_for: Wait) -> None:
    lease = Lease(
        task_id=new_id(),
        ids=[new_id(), new_id()],
        backend="local",
        model="digits",
        version="1",
        class_="batch",
        batch_id="a\x00b",
        placed_at=1_790_000_000.5,
        until=1e300,
        awaited=[ReplyGroup(to="nul \x00", positions=[1])],
    )
    other = Lease(
        task_id=lease.task_id, part=1, ids=[new_id()], backend="local", model="m", placed_at=1, until=2
    )
    for _ in range(3):
        bench.lease(lease, other)
    stop = bench.record()
    wait_for(lambda: bench.count("placements") == 2, "the leases")
    wait_for(lambda: bench.waiting() == 0, "the queue's end")
    stop()
    assert bench.count("placements") == 2
    found = bench.ask(
        "SELECT request_ids::text[], batch_id, extract(epoch FROM placed_at)::float, due_at = lease, replies"
        " FROM placements WHERE part = 0"
    )
    assert found == [(lease.ids, "a\ufffdb", 1_790_000_000.5, True, [{"to": "nul \ufffd", "positions": [1]}])]


def test_a_lease_without_valid_ids_is_dead_lettered_alone(
    bench: Any, make_outcome: Make, wait_for: Wait
) -> None:
    bench.lease(Lease(task_id="seven", ids=[new_id()], backend="local", model="m", placed_at=1, until=2))
    bench.lease(Lease(task_id=new_id(), ids=[], backend="local", model="m", placed_at=1, until=2))
    bench.send([make_outcome()])
    stop = bench.record()
    wait_for(lambda: bench.count() == 1, "the outcome")
    wait_for(lambda: bench.waiting(names.DEAD_QUEUE) == 2, "the dead letters")
    stop()
    assert bench.count("placements") == 0


def test_each_request_s_end_is_logged_once_and_after_its_commit(
    bench: Any, make_outcome: Make, wait_for: Wait, capfd: pytest.CaptureFixture[str]
) -> None:
    committed: list[bool] = []
    log = RequestLog(LogOutput("recorder", json=True))

    def on_recorded(entries: Sequence[Entry]) -> None:
        ids = {row[0] for row in bench.ask("SELECT request_id::text FROM outcomes")}
        committed.extend(entry.request_id in ids for entry in entries)
        log.write(entries)

    bench.record(on_recorded=on_recorded)
    first, second = make_outcome(), make_outcome(state="failed", error_class="timed_out")
    bench.send([first, second, first])
    wait_for(lambda: bench.count() == 2, "both outcomes")
    bench.send([first])  # delivered again
    bench.send([make_outcome(request_id=first.request_id, finished_at=first.finished_at + 1)])
    wait_for(lambda: bench.count("duplicate_outcomes") == 1, "the duplicate")
    lines = logged_lines(capfd.readouterr().err, "request_ended")
    assert {(line["request_id"], line["state"]) for line in lines} == {
        (first.request_id, "succeeded"),
        (second.request_id, "failed"),
    }
    assert committed == [True, True]
