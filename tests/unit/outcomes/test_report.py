from datetime import UTC, datetime

import msgspec

from outcomes.answers import Failures
from outcomes.report import failures_text, outcome_text
from straightline.contracts import FailureRate, Outcome

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


def test_an_empty_window_says_so() -> None:
    assert "nothing was attempted" in failures_text(
        Failures(since=NOW, until=NOW, by_backend=[], by_model=[])
    )


def test_an_outcome_cannot_steer_the_terminal() -> None:
    outcome = Outcome(
        request_id="i", state="failed", finished_at=1.0, error="\x1b[2J", result=msgspec.Raw(b'"\x9b\x07"')
    )
    text = outcome_text(outcome)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "[2J" in text
