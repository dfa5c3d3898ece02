"""The database is away, locked, slow, read-only or full: placing and answering do not need it."""

import time

import pytest

from straightline.support.failpoints import VARIABLE, Step
from tests.events import logged_lines
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.row import Judged, Row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RECORDED = 15.0
"""Seconds after the database is back until all that was answered meanwhile is recorded."""


def answered_as_before(judged: Judged, began: float) -> bool:
    """Whether the requests of the outage were answered as fast as those before it, near enough."""
    endings = judged.facts.endings
    before = {one for one, end in endings.items() if end.submitted_at and end.submitted_at < began}
    usual, then = judged.latencies(before), judged.latencies(endings.keys() - before)
    middle, later = usual[len(usual) // 2], then[len(then) // 2]
    return later < max(2 * middle, middle + 0.05)


@pytest.mark.parametrize("away", [pytest.param(3, marks=pytest.mark.fast), pytest.param(30)])
def test_16_database_stopped_and_back__no_request_and_no_latency_is_lost(row: Row, away: int) -> None:
    """Fifty requests a second, as the promise has it, for a shorter time."""
    records = row.scene.records
    with row.load(Mix(rate=50, pinned=0.3)) as load:
        load.wait_confirmed(100)
        began = time.time()
        records.stop()
        load.run_for(away)
        answered = len(load.account.confirmed)
        records.start()
        row.fault_over()
        load.run_for(1)
        judged = row.judge(bound=RECORDED)
    assert answered > 100 + 40 * away
    assert answered_as_before(judged, began)
    assert judged.recovery < 1.0
    assert judged.states().keys() == {"succeeded"}


@pytest.mark.parametrize("step", [Step.RECORDER_BEFORE_COMMIT, Step.RECORDER_AFTER_COMMIT])
def test_16_recorder_dies_around_its_commit__each_outcome_is_recorded_once(row: Row, step: Step) -> None:
    row.scene.crew.restart("recorder", once={VARIABLE: f"{step}:10"})
    with row.load() as load:
        row.fault_over(row.wait_restarted("recorder"))
        load.wait_confirmed(60)
        judged = row.judge(bound=RECORDED, allowed=Allowance(restarts={"recorder": 1}))
    assert judged.states().keys() == {"succeeded"}


def test_17_database_read_only__outcomes_wait_and_are_recorded_after(row: Row) -> None:
    records = row.scene.records
    with row.load() as load:
        load.wait_confirmed(60)
        records.administer("alter database {database} set default_transaction_read_only = on")
        records.disconnect_others()
        load.run_for(4)
        assert records.is_behind(load.account.confirmed)
        records.administer("alter database {database} reset default_transaction_read_only")
        row.fault_over()
        load.run_for(1)
        judged = row.judge(bound=RECORDED)
    assert judged.states().keys() == {"succeeded"}


def test_17_database_without_free_connections__outcomes_wait_and_are_recorded_after(row: Row) -> None:
    with row.load() as load:
        load.wait_confirmed(60)
        with row.scene.records.full():
            load.run_for(4)
            assert logged_lines(row.log("recorder"), "batch_held")
        row.fault_over()
        load.run_for(1)
        judged = row.judge(bound=RECORDED)
    assert judged.states().keys() == {"succeeded"}


def test_17_database_table_locked_beyond_the_timeouts__outcomes_wait(row: Row) -> None:
    records = row.scene.records
    with row.load() as load:
        load.wait_confirmed(60)
        with records.connection() as connection, connection.cursor() as cursor:
            cursor.execute("lock table outcomes in access exclusive mode")
            load.run_for(8)
            assert "lock timeout" in str(logged_lines(row.log("recorder"), "batch_held"))
        row.fault_over()
        load.run_for(1)
        judged = row.judge(bound=RECORDED)
    assert judged.states().keys() == {"succeeded"}


def test_17_statements_time_out__outcomes_wait(row: Row) -> None:
    """A lock that is waited for longer than a statement may take."""
    records = row.scene.records
    row.scene.crew.restart(
        "recorder",
        STRAIGHTLINE_RECORDER_STATEMENT_TIMEOUT="1",
        STRAIGHTLINE_RECORDER_LOCK_TIMEOUT="30",
    )
    with row.load() as load:
        load.wait_confirmed(60)
        with records.connection() as connection, connection.cursor() as cursor:
            cursor.execute("lock table outcomes in access exclusive mode")
            load.run_for(4)
            assert "statement timeout" in str(logged_lines(row.log("recorder"), "batch_held"))
        row.fault_over()
        load.run_for(1)
        judged = row.judge(bound=RECORDED)
    assert judged.states().keys() == {"succeeded"}
