"""Errors and the responses that they become."""

import logging

import pytest
from flask import Flask

from gateway.http.rendering import problems
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from straightline.errors import BrokerUnavailable, ContractError
from tests.events import logged


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (LedgerUnavailable("away"), 503, "ledger_unavailable"),
        (LedgerNotMigrated("migrate"), 503, "ledger_not_migrated"),
        (BrokerUnavailable("away"), 503, "broker_unavailable"),
        (ContractError("much", error_class="too_large"), 413, "too_large"),
        (ContractError("wrong"), 400, "malformed"),
        (ValueError("ours"), 500, "gateway_fault"),
    ],
)
def test_each_error_has_its_status(error: Exception, status: int, word: str) -> None:
    app = Flask(__name__)
    problems.register(app)

    @app.get("/v1/fails")
    def fails() -> str:
        raise error

    answer = app.test_client().get("/v1/fails")
    assert (answer.status_code, answer.headers["X-StraightLine-Error"]) == (status, word)
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_details_for_the_operator_are_logged_and_not_sent_to_callers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask(__name__)
    problems.register(app)

    @app.get("/v1/fails")
    def fails() -> str:
        raise LedgerUnavailable("it does not answer; is STRAIGHTLINE_DATABASE_URL right?")

    with caplog.at_level(logging.WARNING):
        answer = app.test_client().get("/v1/fails")
    assert answer.json is not None
    assert answer.json["detail"] == "the gateway's database is unavailable: try again"
    (warning,) = logged(caplog, "ledger_unavailable")
    assert "is STRAIGHTLINE_DATABASE_URL right?" in str(warning["error"])
