"""The reported workers are those that the scheduler counts."""

from typing import Any

import msgspec
import pytest

from gateway.http.requests.worker_directory import WorkerDirectory
from straightline.contracts import BackendEntry, Heartbeat


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hosts(clock: Clock) -> WorkerDirectory:
    return WorkerDirectory(clock)


def beat(worker: str, **fields: Any) -> bytes:
    known: dict[str, Any] = {"backend": "local", "interval": 1.0, "slots": 4, "active": 1, "healthy": True}
    return msgspec.json.encode(Heartbeat(worker=worker, sent_at=0.0, **(known | fields)))


def local(hosts: WorkerDirectory) -> BackendEntry:
    (found,) = (each for each in hosts.report().backends if each.backend == "local")
    return found


def test_slots_of_all_workers_add_up(hosts: WorkerDirectory) -> None:
    hosts.update(beat("local@b"))
    hosts.update(beat("local@a", slots=8, active=2))
    hosts.update(b"nonsense")
    found = local(hosts)
    assert (found.healthy, found.slots, found.active) == (True, 12, 3)
    assert [each.worker for each in found.workers] == ["local@a", "local@b"]


def test_an_unhealthy_or_silent_worker_is_shown_but_not_counted(hosts: WorkerDirectory, clock: Clock) -> None:
    hosts.update(beat("local@a"))
    clock.now += 12
    hosts.update(beat("local@b"))
    hosts.update(beat("local@c", healthy=False, reason="its server is away"))
    found = local(hosts)
    assert (found.healthy, found.slots, found.active) == (True, 4, 1)
    assert [(each.healthy, each.reason) for each in found.workers] == [
        (False, "no heartbeat for 12 s"),
        (True, None),
        (False, "its server is away"),
    ]


def test_a_closing_or_long_silent_worker_is_removed(hosts: WorkerDirectory, clock: Clock) -> None:
    hosts.update(beat("local@a"))
    hosts.update(beat("local@b"))
    hosts.update(beat("local@b", closing=True))
    assert [each.worker for each in local(hosts).workers] == ["local@a"]
    clock.now += 61
    assert local(hosts).workers == []


def test_a_backend_without_workers_is_listed(hosts: WorkerDirectory) -> None:
    assert [(each.backend, each.healthy) for each in hosts.report().backends] == [
        ("serverless", False),
        ("gpu-container", False),
        ("local", False),
    ]
