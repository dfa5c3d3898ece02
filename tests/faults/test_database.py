"""The database is down, locked, slow, read-only or full: placing and answering go on."""

import time

import pytest

from straightline.support.failpoints import VARIABLE, Step
from tests.events import logged_lines
from tests.faults.harness.fault_case import FaultCase, Results
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RECORD_TIMEOUT_S = 15.0
"""Time after the database is back within which all outcomes are recorded."""


def answered_as_before(results: Results, began: float) -> bool:
    """Whether the median latency during the outage was at most twice the usual one, or 50 ms more."""
    outcomes = results.facts.outcomes
    before = {one for one, end in outcomes.items() if end.submitted_at and end.submitted_at < began}
    usual, then = results.latencies(before), results.latencies(outcomes.keys() - before)
    middle, later = usual[len(usual) // 2], then[len(then) // 2]
    return later < max(2 * middle, middle + 0.05)


@pytest.mark.parametrize("away", [pytest.param(3, marks=pytest.mark.fast), pytest.param(30)])
def test_16_database_stopped_and_back__no_request_and_no_latency_is_lost(case: FaultCase, away: int) -> None:
    """50 requests/s, as guaranteed, for a shorter time than guaranteed."""
    database = case.stack.database
    with case.load(Mix(rate=50, pinned=0.3)) as load:
        load.wait_confirmed(100)
        began = time.time()
        database.stop()
        load.run_for(away)
        answered = len(load.record.confirmed)
        database.start()
        case.fault_over()
        load.run_for(1)
        results = case.check(bound=RECORD_TIMEOUT_S)
    assert answered > 100 + 40 * away
    assert answered_as_before(results, began)
    assert results.recovery < 1.0
    assert results.states().keys() == {"succeeded"}


@pytest.mark.parametrize("step", [Step.RECORDER_BEFORE_COMMIT, Step.RECORDER_AFTER_COMMIT])
def test_16_recorder_dies_around_its_commit__each_outcome_is_recorded_once(
    case: FaultCase, step: Step
) -> None:
    case.stack.supervisor.restart("recorder", once={VARIABLE: f"{step}:10"})
    with case.load() as load:
        case.fault_over(case.wait_restarted("recorder"))
        load.wait_confirmed(60)
        results = case.check(bound=RECORD_TIMEOUT_S, allowed=Allowance(restarts={"recorder": 1}))
    assert results.states().keys() == {"succeeded"}


def test_17_database_read_only__outcomes_wait_and_are_recorded_after(case: FaultCase) -> None:
    database = case.stack.database
    with case.load() as load:
        load.wait_confirmed(60)
        database.administer("alter database {database} set default_transaction_read_only = on")
        database.disconnect_others()
        load.run_for(4)
        assert database.is_behind(load.record.confirmed)
        database.administer("alter database {database} reset default_transaction_read_only")
        case.fault_over()
        load.run_for(1)
        results = case.check(bound=RECORD_TIMEOUT_S)
    assert results.states().keys() == {"succeeded"}


def test_17_database_without_free_connections__outcomes_wait_and_are_recorded_after(case: FaultCase) -> None:
    with case.load() as load:
        load.wait_confirmed(60)
        with case.stack.database.full():
            load.run_for(4)
            assert logged_lines(case.log("recorder"), "batch_held")
        case.fault_over()
        load.run_for(1)
        results = case.check(bound=RECORD_TIMEOUT_S)
    assert results.states().keys() == {"succeeded"}


def test_17_database_table_locked_beyond_the_timeouts__outcomes_wait(case: FaultCase) -> None:
    database = case.stack.database
    with case.load() as load:
        load.wait_confirmed(60)
        with database.connection() as connection, connection.cursor() as cursor:
            cursor.execute("lock table outcomes in access exclusive mode")
            load.run_for(8)
            assert "lock timeout" in str(logged_lines(case.log("recorder"), "batch_held"))
        case.fault_over()
        load.run_for(1)
        results = case.check(bound=RECORD_TIMEOUT_S)
    assert results.states().keys() == {"succeeded"}


def test_17_statements_time_out__outcomes_wait(case: FaultCase) -> None:
    """A lock is held for longer than the statement timeout."""
    database = case.stack.database
    case.stack.supervisor.restart(
        "recorder",
        STRAIGHTLINE_RECORDER_STATEMENT_TIMEOUT="1",
        STRAIGHTLINE_RECORDER_LOCK_TIMEOUT="30",
    )
    with case.load() as load:
        load.wait_confirmed(60)
        with database.connection() as connection, connection.cursor() as cursor:
            cursor.execute("lock table outcomes in access exclusive mode")
            load.run_for(4)
            assert "statement timeout" in str(logged_lines(case.log("recorder"), "batch_held"))
        case.fault_over()
        load.run_for(1)
        results = case.check(bound=RECORD_TIMEOUT_S)
    assert results.states().keys() == {"succeeded"}
