"""Whole path, confirmed publish to committed outcome, beside plain Celery with results in the same Postgres.

Run: python -m benchmarks.whole_path [--requests N] [--rounds R]

A no-op model of the Flask server behind the local pool; about 400 bytes a request. Celery: a no-op task, two
prefork children (its default on two cores), `db+postgresql` results. Both in turn, on the same broker and
database; the ratio is taken round by round.
"""

import argparse
import statistics
from typing import Any

from benchmarks.rig import BODY, Rig, rig, seconds, start_path, start_peer
from straightline.client import Client


def straightline_rate(made: Rig, client: Client, requests: int) -> float:
    """Return requests recorded per second."""
    made.clear("outcomes", "attempts", "placements")
    batch = [{"model": "noop", "data": BODY} for _ in range(requests)]
    took = seconds(lambda: client.submit_many(batch), lambda: made.count("outcomes") >= requests)
    return requests / took


def celery_rate(made: Rig, noop: Any, tasks: int) -> float:
    """Return tasks per second whose result is in the database."""
    made.clear("celery_taskmeta")
    took = seconds(
        lambda: [noop.delay(BODY) for _ in range(tasks)],
        lambda: made.count("celery_taskmeta") >= tasks,
    )
    return tasks / took


def main() -> None:
    """Measure in turn and print each round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--tasks", type=int, default=1_500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with rig() as made:
        start_path(made, slots=4096)
        results = made.database_url.replace("postgresql+psycopg2", "db+postgresql+psycopg2")
        noop = start_peer(made, results, "-P", "prefork", "-c", "2").tasks["peer.noop"]
        ours, theirs = [], []
        with Client(made.broker_url, replies=False) as client:
            noop.delay(BODY).get(timeout=30)  # both warm
            straightline_rate(made, client, 1_000)
            for number in range(1, options.rounds + 1):
                ours.append(straightline_rate(made, client, options.requests))
                theirs.append(celery_rate(made, noop, options.tasks))
                print(
                    f"round {number}: StraightLine {ours[-1]:7.0f} requests/s   "
                    f"Celery db+postgresql {theirs[-1]:5.0f} tasks/s   ratio {ours[-1] / theirs[-1]:5.1f}",
                    flush=True,
                )
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print(
            f"median : StraightLine {statistics.median(ours):7.0f} requests/s   "
            f"Celery db+postgresql {statistics.median(theirs):5.0f} tasks/s   "
            f"ratio {statistics.median(ratios):5.1f} (from {min(ratios):.1f} to {max(ratios):.1f})"
        )


if __name__ == "__main__":
    main()
