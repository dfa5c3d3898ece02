"""Confirmed publishes per second: `submit_many` beside Celery's `delay()`, on the same broker in turn.

Run: python -m benchmarks.publish [--requests N] [--tasks N] [--rounds R]

Nobody consumes; each round begins with empty queues. About 400 bytes a request. StraightLine: from the data
as a mapping to the broker's confirm of every message, in a quorum queue. Celery, its defaults but for one, a
durable classic queue: `delay()` returns when the broker has confirmed the message (`confirm_publish`), which
is what `submit_many` promises, too. Beside it, what `delay()` does when nothing is promised.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pika

from benchmarks.peer import make_app
from benchmarks.rig import BODY, rig
from straightline import names
from straightline.client import Client

FACTOR: Final = 20
PEER_QUEUE: Final = "peer"


@contextmanager
def emptied(url: str, *queues: str) -> Iterator[None]:
    """Empty queues after a round, outside of what is timed."""
    yield
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for queue in queues:
            channel.queue_purge(queue)


def rate(work: Callable[[], object], count: int) -> float:
    """Return how many of `count` pieces of `work` are done in a second."""
    gc.collect()
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def straightline_rate(url: str, client: Client, requests: int) -> float:
    """Return confirmed requests per second."""
    batch = [{"model": "noop", "data": BODY} for _ in range(requests)]
    with emptied(url, names.INTERACTIVE_QUEUE):
        return rate(lambda: client.submit_many(batch), requests)


def celery_rate(url: str, noop: Any, tasks: int) -> float:
    """Return tasks sent per second."""
    with emptied(url, PEER_QUEUE):
        return rate(lambda: [noop.delay(BODY) for _ in range(tasks)], tasks)


def main() -> None:
    """Measure in turn and print each round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with rig() as made:
        loose = make_app(made.broker_url, "rpc://")
        sure = make_app(made.broker_url, "rpc://")
        sure.conf.broker_transport_options = {"confirm_publish": True}
        ours: list[float] = []
        theirs: list[float] = []
        unconfirmed: list[float] = []
        with Client(made.broker_url) as client:
            for number in range(options.rounds + 1):
                rates = (
                    straightline_rate(made.broker_url, client, options.requests),
                    celery_rate(made.broker_url, sure.tasks["peer.noop"], options.tasks),
                    celery_rate(made.broker_url, loose.tasks["peer.noop"], options.tasks),
                )
                if number == 0:  # it has warmed all three
                    continue
                for into, value in zip((ours, theirs, unconfirmed), rates, strict=True):
                    into.append(value)
                print(
                    f"round {number}: submit_many {rates[0]:8,.0f}/s   delay() {rates[1]:7,.0f}/s   "
                    f"delay() unconfirmed {rates[2]:7,.0f}/s",
                    flush=True,
                )
    mine, other, loosest = (statistics.median(rates) for rates in (ours, theirs, unconfirmed))
    print(f"medians: submit_many {mine:,.0f}/s, delay() {other:,.0f}/s, unconfirmed {loosest:,.0f}/s")
    print(
        f"submit_many / delay() = {mine / other:.1f}, at least {FACTOR}: "
        f"{'yes' if mine / other >= FACTOR else 'NO'}   (/ unconfirmed delay() = {mine / loosest:.1f})"
    )


if __name__ == "__main__":
    main()
