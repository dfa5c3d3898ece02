"""Whole path, confirmed publish to committed outcome, beside plain Celery with results in the same Postgres.

A no-op model of the Flask server behind the local pool; about 400 bytes a request. Celery: a no-op task,
two prefork children (its default on two cores), `db+postgresql` results. Both in turn, on the same broker
and database.
"""

import sys
from typing import Any, Final

from benchmarks.results import Result
from benchmarks.rig import Rig
from benchmarks.support.request_path import BODY, Tables, seconds, start_celery, start_path
from straightline.client import Client

PEER: Final = "Celery db+postgresql"
WARM_UP_REQUESTS: Final = 1_000


def run(rig: Rig) -> list[Result]:
    """Measure both in turn."""
    rig.start_services()
    start_path(rig, slots=4096)
    backend = rig.database_url.replace("postgresql+psycopg2", "db+postgresql+psycopg2")
    noop = start_celery(rig, backend, "-P", "prefork", "-c", "2").tasks["peer.noop"]
    tables = Tables(rig.database_url)
    ours: list[float] = []
    theirs: list[float] = []
    with Client(rig.broker_url, replies=False) as client:
        noop.delay(BODY).get(timeout=30)
        straightline_rate(tables, client, WARM_UP_REQUESTS)
        for number in range(1, rig.size("rounds") + 1):
            ours.append(straightline_rate(tables, client, rig.size("requests")))
            theirs.append(celery_rate(tables, noop, rig.size("tasks")))
            rig.say(f"round {number}: StraightLine {ours[-1]:,.0f}/s, {PEER} {theirs[-1]:,.0f}/s")
    return [Result.beside("whole_path/recorded", "requests/s", ours, theirs, PEER)]


def straightline_rate(tables: Tables, client: Client, requests: int) -> float:
    """Return requests recorded per second."""
    tables.clear("outcomes", "attempts", "placements")
    batch = [{"model": "noop", "data": BODY} for _ in range(requests)]
    took = seconds(lambda: client.submit_many(batch), lambda: tables.count("outcomes") >= requests)
    return requests / took


def celery_rate(tables: Tables, noop: Any, tasks: int) -> float:
    """Return tasks per second whose result is in the database."""
    tables.clear("celery_taskmeta")
    took = seconds(
        lambda: [noop.delay(BODY) for _ in range(tasks)],
        lambda: tables.count("celery_taskmeta") >= tasks,
    )
    return tasks / took


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("whole_path"))
