"""Outcomes as text."""

import msgspec

from straightline.cli.format import format_outcome
from straightline.contracts import Attempt, Outcome, Reason


def test_an_outcome_shows_every_attempt_with_its_reason() -> None:
    reason = Reason(
        policy="empirical",
        rule=3,
        f_t=2.04,
        F=50,
        r_d=300,
        D=262_144,
        s_f=True,
        s_d=False,
        refused={"gpu-container": "no slot is free"},
    )
    failed = Attempt(
        number=1,
        backend="serverless",
        succeeded=False,
        placed_at=1,
        started_at=1,
        finished_at=2,
        error_class="throttled",
        error="rate exceeded",
    )
    answered = Attempt(
        number=2,
        backend="local",
        succeeded=True,
        placed_at=1,
        started_at=1,
        finished_at=2,
        wait=0.0021,
        service=1.5,
        cold_start=1.2,
        reason=reason,
    )
    outputs = [{"name": "label", "shape": [1], "datatype": "INT64", "data": [7]}]
    text = format_outcome(
        Outcome(
            request_id="id-1",
            state="succeeded",
            submitted_at=10.0,
            finished_at=10.25,
            model="digits",
            version="1",
            attempts=[failed, answered],
            result=msgspec.Raw(msgspec.json.encode({"model_name": "digits", "outputs": outputs})),
        )
    )
    assert text.splitlines() == [
        "id-1 succeeded, model digits 1, 250.0 ms after submission",
        "  attempt 1 on serverless: throttled: rate exceeded (waited 0.0 ms, took 0.0 ms)",
        "  attempt 2 on local: answered (waited 2.1 ms, took 1.50 s, including 1.20 s cold start)",
        (
            "    placed by rule 3 of empirical: f_t 2.0/s (F 50/s), r_d 300 B (D 262144 B), S_F yes, S_D no; "
            "not on gpu-container (no slot is free)"
        ),
        "  label INT64[1]: [7]",
    ]


def test_a_rejected_request_shows_the_error() -> None:
    text = format_outcome(
        Outcome(
            request_id="id-1",
            state="rejected",
            finished_at=1.0,
            error_class="unknown_model",
            error="there is no model x",
        )
    )
    assert text == "id-1 rejected\n  unknown_model: there is no model x"


def test_a_malformed_result_is_shown_raw_and_truncated() -> None:
    outcome = Outcome(
        request_id="i", state="succeeded", finished_at=1.0, result=msgspec.Raw(b"[" + b"1," * 500)
    )
    assert "characters)" in format_outcome(outcome)
    assert max(map(len, format_outcome(outcome).splitlines())) < 120
