import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outcomes.recording.ledger import Ledger
from outcomes.rows.row_mapping import entry_of
from straightline.cli.exit_codes import NOT_FOUND, UNAVAILABLE, USAGE
from straightline.contracts import Outcome
from straightline.ids import new_id
from tests.events import logged_lines

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[3]


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRAIGHTLINE_")}
    return {**kept, **more}


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "outcomes", *arguments],
        cwd=ROOT,
        env=_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_ledger_is_migrated_filled_and_queried(
    database_url: str, make_outcome: Callable[..., Outcome]
) -> None:
    url = {"STRAIGHTLINE_DATABASE_URL": database_url}
    unready = _run("failures", **url)
    assert (unready.returncode, unready.stderr.count("\n")) == (3, 1)
    assert "python -m outcomes migrate" in unready.stderr
    assert _run("migrate", **url).returncode == 0
    outcome = make_outcome()
    ledger = Ledger(database_url)
    ledger.write([entry_of(outcome, now=0.0)])
    ledger.close()

    table = _run("failures", "--since", "1h", **url)
    assert table.returncode == 0
    assert "local" in table.stdout
    said = json.loads(_run("failures", "--since", "7d", "--model", "digits", "--json", **url).stdout)
    assert [(rate["name"], rate["outcomes"]) for rate in said["by_model"]] == [("digits", 1)]
    shown = _run("show", outcome.request_id, **url)
    assert shown.returncode == 0
    assert "succeeded" in shown.stdout
    assert json.loads(_run("show", outcome.request_id, "--json", **url).stdout)["state"] == "succeeded"
    assert _run("show", new_id(), **url).returncode == NOT_FOUND
    unfit = _run("show", "7", **url)
    assert (unfit.returncode, unfit.stderr.count("\n")) == (USAGE, 1)
    away = _run("show", new_id(), STRAIGHTLINE_DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    assert away.returncode == UNAVAILABLE


def test_a_role_without_the_right_gets_the_setting_to_use(role_urls: dict[str, str]) -> None:
    refused = _run("retain", "--keep", "30d", STRAIGHTLINE_DATABASE_URL=role_urls["reader"])
    assert (refused.returncode, refused.stderr.count("\n")) == (3, 1)
    assert "permission denied" in refused.stderr
    assert "STRAIGHTLINE_DATABASE_OWNER_URL" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "url", "code", "said"),
    [
        (
            ["failures", "--since", "yesterday"],
            "postgresql+psycopg2://x@127.0.0.1:1/x",
            2,
            "write it like 30s",
        ),
        (["failures"], "postgresql+psycopg2://x@127.0.0.1:1/x", 3, "check that it is running"),
        (["failures"], "postgresql://x@127.0.0.1:1/x", 3, "check that it is running"),
        (["migrate"], "postgres://x@127.0.0.1:1/x", 3, "check that it is running"),
        (["failures"], "postgresql+nosuch://x@127.0.0.1:1/x", 2, "STRAIGHTLINE_DATABASE_URL"),
        (["failures"], "postgresql+psycopg://x@127.0.0.1:1/x", 2, "STRAIGHTLINE_DATABASE_URL"),
        (["failures"], "nonsense", 2, "STRAIGHTLINE_DATABASE_URL"),
        (["failures"], "", 2, "STRAIGHTLINE_DATABASE_URL is not set"),
        (["migrate"], "postgresql+psycopg2://x@127.0.0.1:1/x", 3, "check that it is running"),
        (["record"], "postgresql+psycopg2://x@127.0.0.1:1/x", 1, "STRAIGHTLINE_BROKER_URL is not set"),
    ],
)
def test_failures_print_one_line(arguments: list[str], url: str, code: int, said: str) -> None:
    done = _run(*arguments, STRAIGHTLINE_DATABASE_URL=url)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reconciler_with_another_users_url_exits_with_an_explanation(
    user_urls: dict[str, str], role_urls: dict[str, str]
) -> None:
    done = _run(
        "reconcile",
        STRAIGHTLINE_BROKER_URL=user_urls["producer"],
        STRAIGHTLINE_DATABASE_URL=role_urls["reader"],
    )
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last.startswith("outcomes: the broker denies access to straightline.dead: ")
    assert "STRAIGHTLINE_BROKER_URL" in last
    assert "Traceback" not in done.stderr


def test_a_reconciler_without_a_broker_waits_until_it_is_stopped(role_urls: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "outcomes", "reconcile"],
        cwd=ROOT,
        env=_environment(
            STRAIGHTLINE_BROKER_URL="amqp://x:y@127.0.0.1:1/x",
            STRAIGHTLINE_DATABASE_URL=role_urls["reconciler"],
        ),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert any(logged_lines([line], "reconciler_leads") for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("outage", [False, True])
def test_the_recorder_stops_within_seconds_of_sigterm(
    bench: Any, make_outcome: Callable[..., Outcome], wait_for: Callable[..., Any], *, outage: bool
) -> None:
    url = "postgresql+psycopg2://x@127.0.0.1:1/x" if outage else bench.database_url
    bench.send([make_outcome()])
    with subprocess.Popen(
        [sys.executable, "-m", "outcomes", "record"],
        cwd=ROOT,
        env=_environment(STRAIGHTLINE_BROKER_URL=bench.broker_url, STRAIGHTLINE_DATABASE_URL=url),
    ) as process:
        try:
            wait_for((lambda: bench.waiting() == 0) if outage else (lambda: bench.count() == 1), "taking it")
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert time.monotonic() - asked < 10
        finally:
            process.kill()
    wait_for(lambda: bench.waiting() == (1 if outage else 0), "the queue's end")
