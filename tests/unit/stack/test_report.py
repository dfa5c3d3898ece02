"""The report passes only if every request has exactly one outcome."""

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from outcomes.queries.query_results import BackendSummary, Summary
from script.docker_engine.engine import Driver
from script.stack.demo.report import Figures, failures, figures, show
from script.stack.processes.plan import Thresholds

SUMMARY = Summary(
    outcomes=10,
    by_state={"succeeded": 9, "failed": 1, "expired": 0, "cancelled": 0, "rejected": 0},
    by_backend={
        "local": BackendSummary(placed=6, failed=1, p50_ms=3.14159, p95_ms=10.0),
        "serverless": BackendSummary(placed=0, failed=0),
    },
    by_rule={1: 0, 2: 1, 3: 5, 4: 4, 5: 0},
    lost=0,
    duplicates=0,
    repeats=0,
)


def _figures(**changed: Any) -> Figures:
    good = figures(SUMMARY, accepted=10, seconds=1.23456, accuracy=0.98765)
    return msgspec.structs.replace(good, **changed)


def test_the_json_has_the_documented_keys() -> None:
    written = msgspec.json.decode(msgspec.json.encode(_figures()))
    assert written == {
        "accepted": 10,
        "outcomes": 10,
        "by_state": SUMMARY.by_state,
        "by_backend": {
            "local": {"placed": 6, "failed": 1, "p50_ms": 3.14, "p95_ms": 10.0},
            "serverless": {"placed": 0, "failed": 0, "p50_ms": None, "p95_ms": None},
        },
        "by_rule": {"1": 0, "2": 1, "3": 5, "4": 4, "5": 0},
        "lost": 0,
        "duplicates": 0,
        "seconds": 1.235,
        "accuracy": 0.9877,
    }


def test_correct_figures_have_no_failure() -> None:
    assert failures(_figures(), 10) == []


@pytest.mark.parametrize(
    ("changed", "submitted", "message"),
    [
        ({"outcomes": 9}, 10, "9 have an outcome"),
        ({"outcomes": 11}, 10, "11 have an outcome"),
        ({"lost": 2}, 10, "2 requests were lost"),
        ({"duplicates": 3}, 10, "3 requests have more than one outcome"),
        ({}, 12, "12 requests were submitted, but 10 were accepted"),
    ],
)
def test_each_failure_is_reported(changed: dict[str, Any], submitted: int, message: str) -> None:
    (failure,) = failures(_figures(**changed), submitted)
    assert message in failure


def test_the_report_fits_100_columns_and_shows_driver_rules_and_failures() -> None:
    page = io.StringIO()
    show(
        Console(file=page, width=100),
        _figures(),
        thresholds=Thresholds(F=100.0, window=2.0, D=65_536),
        driver=Driver("process", "no [engine] answers"),
        wrong=["2 requests were lost"],
    )
    text = page.getvalue()
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "driver process (no [engine] answers)" in text
    assert "2 requests were lost" in text
    for rule in range(1, 6):
        assert f" {rule}  " in text
