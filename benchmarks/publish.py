"""Confirmed publishes per second: `submit_many` beside Celery's `delay()`, on the same broker in turn.

Both promise the same: the call returns when the broker has confirmed the messages. StraightLine publishes
to a quorum queue, Celery to its default, a durable classic queue. Nothing consumes; about 400 bytes a
request.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pika

from benchmarks.peers.celery_app import make_app
from benchmarks.results import Result
from benchmarks.rig import Rig
from benchmarks.support.request_path import BODY
from straightline import names
from straightline.client import Client

MIN_RATIO: Final = 20
PEER_QUEUE: Final = "peer"


def run(rig: Rig) -> list[Result]:
    """Measure StraightLine, Celery with confirms and Celery without in turn; the first round warms all."""
    rig.start_services()
    url = rig.broker_url
    confirmed, unconfirmed = make_app(url, "rpc://"), make_app(url, "rpc://")
    confirmed.conf.broker_transport_options = {"confirm_publish": True}
    requests, tasks = rig.size("requests"), rig.size("tasks")
    rates: dict[str, list[float]] = {"submit_many": [], "delay()": [], "delay(), unconfirmed": []}
    with Client(url) as client:
        for number in range(rig.size("rounds") + 1):
            found = (
                straightline_rate(url, client, requests),
                celery_rate(url, confirmed.tasks["peer.noop"], tasks),
                celery_rate(url, unconfirmed.tasks["peer.noop"], tasks),
            )
            if number == 0:
                continue
            for into, value in zip(rates.values(), found, strict=True):
                into.append(value)
            told = ", ".join(f"{name} {rate:,.0f}/s" for name, rate in zip(rates, found, strict=True))
            rig.say(f"round {number}: {told}")
    ours, sure, loose = rates.values()
    return [
        Result.beside("publish/confirmed", "requests/s", ours, sure, "Celery delay()").aim(
            "ratio", at_least=MIN_RATIO
        ),
        Result.beside("publish/vs_unconfirmed", "requests/s", ours, loose, "Celery delay(), unconfirmed"),
    ]


def straightline_rate(url: str, client: Client, requests: int) -> float:
    """Return confirmed requests per second."""
    batch = [{"model": "noop", "data": BODY} for _ in range(requests)]
    with emptied(url, names.INTERACTIVE_QUEUE):
        return rate(lambda: client.submit_many(batch), requests)


def celery_rate(url: str, noop: Any, tasks: int) -> float:
    """Return tasks sent per second."""
    with emptied(url, PEER_QUEUE):
        return rate(lambda: [noop.delay(BODY) for _ in range(tasks)], tasks)


def rate(work: Callable[[], object], count: int) -> float:
    """Return how many of the `count` steps of `work` are done in a second."""
    gc.collect()
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


@contextmanager
def emptied(url: str, *queues: str) -> Iterator[None]:
    """Empty queues after a round, outside of the timed part."""
    yield
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for queue in queues:
            channel.queue_purge(queue)


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("publish"))
