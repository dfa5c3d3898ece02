"""An unhealthy pool leaves its queue only while another pool is healthy."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from straightline.contracts import Heartbeat
from workers.coordination import queue_withdrawal as module
from workers.coordination.peers import Peers
from workers.coordination.queue_withdrawal import QueueWithdrawal
from workers.domain.placements import Work
from workers.domain.result import ExecutionResult
from workers.protocol.base import Health

WELL = Health(ok=True)
SICK = Health(ok=False, reason="cannot connect")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def beat(worker: str = "local@b", **fields: Any) -> bytes:
    known: dict[str, Any] = {
        "backend": "local",
        "worker": worker,
        "sent_at": 0.0,  # the sender's clock is wrong; the receiver's counts
        "interval": 1.0,
        "slots": 2,
        "active": 0,
        "healthy": True,
    }
    return msgspec.json.encode(Heartbeat(**(known | fields)))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def peers(clock: Clock) -> Peers:
    return Peers("local", "local@a", clock)


class Pool:
    """Takes a pool off its queue at once, or never."""

    def __init__(self, peers: Peers, *, prompt: bool = True) -> None:
        self.health = WELL
        self.prompt = prompt
        self._consuming = True
        self.withdrawal = QueueWithdrawal(lambda: self.health, peers, self.set_consuming)

    def set_consuming(self, wanted: bool) -> None:
        self._consuming = wanted
        if self.prompt:
            self.withdrawal.on_consuming_changed(wanted)

    def consumes(self) -> bool:
        return self._consuming


def results(work: Work, kind: Any = "fault", error_class: str | None = "unreachable") -> Any:
    return [(work, ExecutionResult(kind=kind, started_at=1.0, finished_at=1.0, error_class=error_class))]


def test_only_a_healthy_pool_of_the_same_backend_is_a_peer(peers: Peers) -> None:
    for body in (
        beat("local@a"),
        beat("serverless@b", backend="serverless"),
        beat(healthy=False),
        beat(closing=True),
        b"no heartbeat",
        b'{"more":' + b"[" * 200_000,
    ):
        peers.on_heartbeat(body)
    assert not peers.any_healthy()
    peers.on_heartbeat(beat())
    assert peers.any_healthy()


def test_a_silent_or_unhealthy_pool_is_not_a_peer(peers: Peers, clock: Clock) -> None:
    peers.on_heartbeat(beat())
    clock.now += 3.1
    peers.on_heartbeat(beat("local@a"))
    assert not peers.any_healthy()
    peers.on_heartbeat(beat())
    peers.on_heartbeat(beat(healthy=False))
    assert not peers.any_healthy()


def test_without_any_heartbeat_the_last_known_peers_count(peers: Peers, clock: Clock) -> None:
    clock.now += 60
    assert not peers.any_healthy()
    peers.on_heartbeat(beat())
    clock.now += 60
    assert peers.any_healthy()


def test_an_unhealthy_pool_leaves_its_queue_while_a_peer_is_healthy(peers: Peers, clock: Clock) -> None:
    pool = Pool(peers)
    peers.on_heartbeat(beat())
    pool.withdrawal.update(SICK)
    assert not pool.consumes()
    assert pool.withdrawal.should_requeue()
    clock.now += 10  # the other one is gone: somebody must tell of the fault
    peers.on_heartbeat(beat("local@a"))
    pool.withdrawal.update(SICK)
    assert pool.consumes()
    assert not pool.withdrawal.should_requeue()


def test_an_unhealthy_pool_without_peers_keeps_its_queue(peers: Peers) -> None:
    pool = Pool(peers)
    pool.withdrawal.update(SICK)
    assert pool.consumes()


def test_a_pool_that_is_healthy_again_returns_to_its_queue(peers: Peers) -> None:
    pool = Pool(peers)
    peers.on_heartbeat(beat())
    pool.withdrawal.update(SICK)
    pool.withdrawal.update(WELL)
    assert pool.consumes()
    assert not pool.withdrawal.should_requeue()


def test_requests_that_never_reached_the_backend_are_requeued_if_a_peer_is_healthy(
    peers: Peers, make_work: Callable[..., Work]
) -> None:
    pool = Pool(peers)
    pool.health = SICK
    assert not pool.withdrawal.should_requeue_results(results(make_work()))  # no other pool
    peers.on_heartbeat(beat())
    assert pool.withdrawal.should_requeue_results(results(make_work()))
    assert not pool.consumes()


def test_requests_that_reached_the_backend_are_reported(peers: Peers, make_work: Callable[..., Work]) -> None:
    pool = Pool(peers)
    pool.health = SICK
    peers.on_heartbeat(beat())
    work = make_work()
    for other in (
        results(work, "succeeded", None),
        results(work, "fault", "crashed"),
        results(work, "expired"),
    ):
        assert not pool.withdrawal.should_requeue_results(other)
        assert not pool.withdrawal.should_requeue_results(results(work) + other)
    assert pool.consumes()


def test_a_fault_of_one_model_alone_is_reported(peers: Peers, make_work: Callable[..., Work]) -> None:
    pool = Pool(peers)
    peers.on_heartbeat(beat())
    assert not pool.withdrawal.should_requeue_results(results(make_work()))  # the backend as a whole is well
    assert pool.consumes()


def test_nothing_is_requeued_while_the_broker_would_redeliver_it_here(
    peers: Peers, make_work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONSUMER_CANCEL_TIMEOUT_S", 0.01)
    pool = Pool(peers, prompt=False)
    pool.health = SICK
    peers.on_heartbeat(beat())
    assert not pool.withdrawal.should_requeue_results(results(make_work()))
    assert not pool.withdrawal.should_requeue()
