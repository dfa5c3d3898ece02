"""A hanging ledger is reported before the caller times out."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.http.wiring import LEDGER_TIMEOUT_S
from outcomes.db.database import connected
from straightline.cli import gateway as cli
from straightline.ids import new_id
from tests.events import logged_lines
from tests.integration.gateway.conftest import Gateway, Starter
from tests.integration.gateway.test_commands import run

pytestmark = pytest.mark.integration

LINES = text(
    "SELECT pid FROM pg_stat_activity WHERE application_name = :name AND datname = current_database()"
)


def frozen(gateway: Gateway) -> list[int]:
    """Stop the server's processes behind the gateway's connections."""
    with connected(gateway.database_url) as connection:
        pids = [int(pid) for pid in connection.execute(LINES, {"name": "straightline-gateway"}).scalars()]
    for pid in pids:
        command = Path(f"/proc/{pid}/cmdline")
        if not command.exists() or b"postgres" not in command.read_bytes():
            pytest.skip("the server runs elsewhere")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def test_callers_learn_of_the_outage_and_operators_of_its_cause(
    place: tuple[Starter, str], start_gateway: Callable[..., Gateway]
) -> None:
    gateway = start_gateway()
    another = gateway.make_key("read")
    end = time.monotonic() + 30  # the stream may have events of an earlier test's leader
    while "in the ledger, and no scheduler leads now" not in run(gateway, "status", new_id()).stderr:
        assert time.monotonic() < end
    pids = frozen(gateway)
    assert pids
    try:
        began = time.monotonic()
        done = run(gateway, "status", new_id(), key=another)
        took = time.monotonic() - began
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert done.returncode == 3
    assert "the gateway's database is unavailable: try again" in done.stderr
    assert "STRAIGHTLINE_DATABASE_URL" not in done.stderr
    assert took < cli.REQUEST_TIMEOUT_S - LEDGER_TIMEOUT_S
    warnings = logged_lines(place[0].log.read_text(), "ledger_unavailable")
    assert "check that it is running and that STRAIGHTLINE_DATABASE_URL is right" in str(warnings)
