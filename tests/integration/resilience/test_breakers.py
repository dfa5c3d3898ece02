"""A failing backend gets only probes, and its work again as soon as it has recovered; no request is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from straightline.client import Client
from tests.integration.resilience.conftest import System
from tests.integration.workers.conftest import V2Server

pytestmark = pytest.mark.integration

DATA = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}
SAMPLES, SHARE, WINDOW = 5, 0.5, 10.0
"""The defaults of the breakers' settings."""


@contextmanager
def load(client: Client) -> Iterator[list[str]]:
    """Submit some forty requests a second meanwhile; yields their ids."""
    ids: list[str] = []
    stop = threading.Event()

    def submit() -> None:
        while not stop.wait(0.025):
            ids.append(client.submit("double", DATA))

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield ids
    finally:
        stop.set()
        thread.join()


def crossing(seen: list[tuple[float, bool]]) -> float:
    """Return when the backend's calls crossed the threshold."""
    for index, (at, _) in enumerate(seen):
        window = [failed for when, failed in seen[: index + 1] if when > at - WINDOW]
        if len(window) >= SAMPLES and sum(window) >= SHARE * len(window):
            return at
    raise AssertionError("it never failed often enough")


def wait(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_only_probes_within_two_seconds_and_full_use_within_five(
    system: System, client: Client, v2_server: V2Server
) -> None:
    system.start_scheduler(STRAIGHTLINE_BREAKER_WINDOW=str(WINDOW))
    system.start_worker(slots=4)
    assert client.result(client.submit("double", DATA), 30.0).state == "succeeded"
    with load(client) as ids:
        v2_server.failing = True
        began = time.monotonic()
        wait(lambda: time.monotonic() > began + 9.0, 20.0)
        v2_server.failing = False
        recovered = time.monotonic()
        wait(lambda: sum(not failed for _, failed in v2_server.seen[-8:]) == 8, 15.0)
    crossed = crossing(v2_server.seen)
    probes = [at for at, failed in v2_server.seen if failed and at > crossed + 2.0]
    assert len(probes) <= recovered - crossed - 2.0 + 1
    answered = [at for at, failed in v2_server.seen if not failed and at > recovered]
    assert answered[5] - recovered <= 5.0
    outcomes = [client.result(request_id, 30.0) for request_id in ids]
    assert {outcome.state for outcome in outcomes} == {"succeeded"}
