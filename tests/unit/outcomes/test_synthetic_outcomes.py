"""Outcomes of requests that no component will finish: they keep what is known of the request."""

from typing import get_args

import pytest

from outcomes.resolutions import synthetic_outcomes
from outcomes.resolutions.synthetic_outcomes import Resolution, of_id, of_request, of_ticket
from outcomes.rows.row_mapping import entry_of
from straightline.contracts.faults import FinalClass, traits_of
from tests.builders import NOW, make_attempt, make_reason, make_request, make_ticket

LOST = Resolution("expired", "lost", "no result came by the deadline")
REQUEST = make_request(version="3", batch_id="job", submitted_at=NOW - 9, **{"class": "batch"})


@pytest.mark.parametrize("word", ["LOST", "DELIVERY_LIMIT", "MALFORMED", "DEAD_LETTER", "UNRECORDABLE"])
def test_every_class_of_a_synthetic_outcome_is_final_and_counts_as_no_execution(word: str) -> None:
    error_class = getattr(synthetic_outcomes, word)
    assert error_class in get_args(FinalClass)
    assert not traits_of(error_class).executed


def test_each_outcome_can_be_recorded() -> None:
    for outcome in (
        of_id(REQUEST.id, LOST, NOW),
        of_request(REQUEST, LOST, NOW),
        of_ticket(make_ticket(), REQUEST, LOST, NOW, backend="local"),
    ):
        entry = entry_of(outcome, now=NOW)
        assert entry.request_id == REQUEST.id
        assert (outcome.state, outcome.error_class, outcome.error) == ("expired", "lost", LOST.error)


def test_a_request_keeps_its_model_class_and_job() -> None:
    outcome = of_request(REQUEST, LOST, NOW)
    assert (outcome.model, outcome.version, outcome.class_, outcome.batch_id) == (
        "digits",
        "3",
        "batch",
        "job",
    )
    assert (outcome.submitted_at, outcome.r_d) == (NOW - 9, REQUEST.size)


def test_a_producers_clock_that_runs_ahead_does_not_make_the_latency_negative() -> None:
    early = make_request(submitted_at=NOW + 100)
    assert of_request(early, LOST, NOW).submitted_at == NOW


def test_the_placement_whose_message_died_becomes_the_last_failed_attempt() -> None:
    reason = make_reason()
    ticket = make_ticket(attempts=[make_attempt(backend="serverless")], placed_at=NOW - 3, reason=reason)
    outcome = of_ticket(ticket, REQUEST, LOST, NOW, backend="local")
    first, last = outcome.attempts
    assert first.backend == "serverless"
    assert (last.number, last.backend, last.succeeded, last.error_class) == (2, "local", False, "lost")
    assert (last.placed_at, last.finished_at, last.reason) == (NOW - 3, NOW, reason)
    assert outcome.backend == "local"
    assert len(ticket.attempts) == 1


def test_a_ticket_that_was_never_placed_has_no_attempt_and_no_backend() -> None:
    outcome = of_ticket(make_ticket(digest="abc", received_at=NOW - 4), REQUEST, LOST, NOW)
    assert (outcome.attempts, outcome.backend) == ([], None)
    assert (outcome.digest, outcome.received_at, outcome.version) == ("abc", NOW - 4, "3")


def test_the_version_that_the_scheduler_chose_counts() -> None:
    assert of_ticket(make_ticket(version="5"), REQUEST, LOST, NOW).version == "5"
