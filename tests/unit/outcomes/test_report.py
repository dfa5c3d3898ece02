from datetime import UTC, datetime

import msgspec

from outcomes.cli.report import dead_text, failures_text, outcome_text
from outcomes.queries.query_results import DuplicateRequests, Failures
from outcomes.reconciling.dead_letter_table import DeadLetter
from straightline.contracts import FailureRate, Outcome
from tests.builders import make_attempt, make_reason

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_failures_name_every_backend_and_model() -> None:
    rate = FailureRate(name="local", attempts=4, attempts_failed=1, attempt_failure_rate=0.25)
    text = failures_text(
        Failures(
            since=NOW,
            until=NOW,
            by_backend=[rate, FailureRate(name=None)],
            by_model=[FailureRate(name="digits")],
        )
    )
    assert "25.00%" in text
    assert "digits" in text
    assert "(never placed)" in text


def test_several_versions_are_listed_separately() -> None:
    several = [FailureRate(name="digits 2", failure_rate=0.5), FailureRate(name="digits 1", failure_rate=0.0)]
    text = failures_text(
        Failures(
            since=NOW, until=NOW, by_backend=[], by_model=[FailureRate(name="digits")], by_version=several
        )
    )
    assert text.index("digits 2") < text.index("digits 1")
    assert "version" in text


def test_an_empty_window_says_so() -> None:
    assert "nothing was attempted" in failures_text(
        Failures(since=NOW, until=NOW, by_backend=[], by_model=[])
    )


def test_a_rejected_message_without_an_explanation_points_to_the_consumer_log() -> None:
    letter = DeadLetter(
        digest="d",
        first_at=NOW,
        last_at=NOW,
        times=1,
        queue="local",
        reason="rejected",
        said=None,
        type=None,
        message_id=None,
        size=9,
        body=None,
        resolution="resolved",
        requests=["the-id"],
    )
    assert "see the log of the consumer of local the-id" in dead_text([letter])
    refused = msgspec.structs.replace(letter, reason="refused", said="it is no lease")
    assert "it is no lease" in dead_text([refused])


def test_an_outcome_cannot_steer_the_terminal() -> None:
    outcome = Outcome(
        request_id="i", state="failed", finished_at=1.0, error="\x1b[2J", result=msgspec.Raw(b'"\x9b\x07"')
    )
    text = outcome_text(outcome, DuplicateRequests())
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "[2J" in text


def test_an_outcome_shows_its_error_repeats_and_placements() -> None:
    attempt = make_attempt(
        reason=make_reason(r_d=414, D=262144),
        error_class="unreachable",
        error="nobody answers",
    )
    outcome = Outcome(
        request_id="i",
        state="expired",
        finished_at=1.0,
        error_class="deadline",
        error="it passed",
        attempts=[attempt],
    )
    lines = outcome_text(outcome, DuplicateRequests(3, 1)).splitlines()
    assert "  error      deadline: it passed" in lines
    assert "  repeated   3 times, 1 with other content" in lines
    assert lines[-1].startswith("    placed by rule 3 of empirical: f_t 1.5/s (F 50/s), r_d 414 B")
    assert "  repeated   1 time" in outcome_text(outcome, DuplicateRequests(1, 0)).splitlines()
    assert "repeated" not in outcome_text(outcome, DuplicateRequests())
