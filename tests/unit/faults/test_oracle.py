"""The oracle reports each violation, and no other."""

from dataclasses import replace

import pytest

from tests.faults.harness.oracle import Allowance, DeadLetter, Facts, RecordedOutcome, recovery, violations

DONE = RecordedOutcome(rows=1, state="succeeded")
SOUND = Facts(
    sent={"a", "b", "c"},
    confirmed={"a", "b"},
    outcomes={"a": DONE, "b": DONE},
    executions={"a": 1, "b": 1},
    depths={"straightline.local": 0},
    restarts={"recorder": 0},
)


def test_facts_without_violations_pass() -> None:
    assert violations(SOUND, Allowance()) == []


def test_an_unconfirmed_id_may_have_an_outcome_or_not() -> None:
    assert violations(replace(SOUND, outcomes={**SOUND.outcomes, "c": DONE}), Allowance()) == []


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (replace(SOUND, outcomes={"a": DONE}), "1 ids were confirmed and have no outcome: b"),
        (
            replace(SOUND, outcomes={"a": replace(DONE, rows=2), "b": DONE}),
            "1 ids have more than one final outcome: a",
        ),
        (
            replace(SOUND, received={"a": {"succeeded": 2}, "b": {"succeeded": 1, "failed": 1}}),
            (
                "1 ids were reported to a producer with another state: b "
                "(received {'succeeded': 1, 'failed': 1}, ledger (succeeded, None: None))"
            ),
        ),
        (
            replace(SOUND, outcomes={**SOUND.outcomes, "stranger": DONE}),
            "1 ids have an outcome and were never sent: stranger (succeeded, None: None)",
        ),
        (
            replace(SOUND, dead=[DeadLetter("c", "no JSON")]),
            "a dead letter of c has no outcome: no JSON",
        ),
        (
            replace(
                SOUND, dead=[DeadLetter("a", "x")], outcomes={"a": RecordedOutcome(1, "rejected"), "b": DONE}
            ),
            "the outcome of the dead letter of a has no reason",
        ),
        (
            replace(SOUND, dead=[DeadLetter(None, "scalar")]),
            "1 dead letters belong to no known request: scalar",
        ),
        (replace(SOUND, executions={"a": 1}), "1 ids succeeded and were never executed: b"),
        (replace(SOUND, executions={"a": 2, "b": 1}), "1 executions were repeated, 0 allowed"),
        (replace(SOUND, restarts={"recorder": 1}), "recorder exited 1 times, 0 allowed"),
        (replace(SOUND, leaks=["scheduler.log"]), "a secret is in scheduler.log"),
        (replace(SOUND, depths={"straightline.dead": 3}), "3 messages are left in straightline.dead"),
    ],
)
def test_each_violation_is_reported_alone(facts: Facts, sentence: str) -> None:
    assert violations(facts, Allowance()) == [sentence]


def test_an_id_executed_too_often_is_a_violation_within_any_total_allowance() -> None:
    facts = replace(SOUND, executions={"a": 9, "b": 1})
    assert violations(facts, Allowance(surplus=100)) == ["1 ids were executed more than 4 times: a"]


def test_the_allowed_cost_of_a_fault_is_no_violation() -> None:
    facts = replace(
        SOUND,
        executions={"a": 2, "b": 1},
        restarts={"recorder": 1},
        dead=[DeadLetter(None, "scalar"), DeadLetter("b", "null")],
        outcomes={
            "a": DONE,
            "b": RecordedOutcome(1, "rejected", "malformed"),
            "s": RecordedOutcome(1, "rejected", "malformed"),
        },
    )
    allowed = Allowance(surplus=1, restarts={"recorder": 1}, unknown_dead=1, unsent=1)
    assert violations(facts, allowed) == []


def answered(submitted: float, finished: float, backend: str = "local") -> RecordedOutcome:
    return RecordedOutcome(1, "succeeded", backend=backend, submitted_at=submitted, finished_at=finished)


def test_recovery_lasts_until_all_requests_from_before_the_faults_end_are_answered() -> None:
    assert recovery({"a": answered(8.0, 12.5), "b": answered(9.0, 9.1)}, 10.0) == 2.5
    assert recovery({"a": answered(8.0, 9.0)}, 10.0) == 0.0


def test_recovery_lasts_until_each_backend_answers_its_first_later_request() -> None:
    outcomes = {"a": answered(10.5, 14.0), "b": answered(11.0, 30.0), "c": answered(12.0, 13.0, "serverless")}
    assert recovery(outcomes, 10.0) == 4.0
