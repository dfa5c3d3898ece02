"""A pool that cannot answer leaves its queue to those that can, and to nobody else."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from straightline.contracts import Heartbeat
from workers.coordination import queue_withdrawal as module
from workers.coordination.peers import Peers
from workers.coordination.queue_withdrawal import Aside
from workers.execution.placements import Work
from workers.execution.result import Verdict
from workers.protocol.base import Health

WELL = Health(ok=True)
SICK = Health(ok=False, reason="nobody listens")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def beat(worker: str = "local@b", **fields: Any) -> bytes:
    known: dict[str, Any] = {
        "backend": "local",
        "worker": worker,
        "sent_at": 0.0,  # their clock is wrong, and ours counts
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
        self.aside = Aside(lambda: self.health, peers, self.attend)

    def attend(self, wanted: bool) -> None:
        self._consuming = wanted
        if self.prompt:
            self.aside.attending(wanted)

    def consumes(self) -> bool:
        return self._consuming


def judged(work: Work, kind: Any = "fault", error_class: str | None = "unreachable") -> Any:
    return [(work, Verdict(kind=kind, started_at=1.0, finished_at=1.0, error_class=error_class))]


def test_only_a_healthy_pool_of_the_same_backend_is_a_peer(peers: Peers) -> None:
    for body in (
        beat("local@a"),
        beat("serverless@b", backend="serverless"),
        beat(healthy=False),
        beat(closing=True),
        b"no heartbeat",
        b'{"more":' + b"[" * 200_000,
    ):
        peers.tell(body)
    assert not peers.able()
    peers.tell(beat())
    assert peers.able()


def test_a_peer_that_falls_silent_or_says_that_it_is_ill_is_none(peers: Peers, clock: Clock) -> None:
    peers.tell(beat())
    clock.now += 3.1
    peers.tell(beat("local@a"))
    assert not peers.able()
    peers.tell(beat())
    peers.tell(beat(healthy=False))
    assert not peers.able()


def test_who_hears_nothing_at_all_goes_on_from_what_was_known(peers: Peers, clock: Clock) -> None:
    clock.now += 60
    assert not peers.able()
    peers.tell(beat())
    clock.now += 60
    assert peers.able()


def test_an_ill_pool_leaves_its_queue_while_another_can_answer(peers: Peers, clock: Clock) -> None:
    pool = Pool(peers)
    peers.tell(beat())
    pool.aside.look(SICK)
    assert not pool.consumes()
    assert pool.aside.returns()
    clock.now += 10  # the other one is gone: somebody must tell of the fault
    peers.tell(beat("local@a"))
    pool.aside.look(SICK)
    assert pool.consumes()
    assert not pool.aside.returns()


def test_an_ill_pool_that_is_alone_goes_on(peers: Peers) -> None:
    pool = Pool(peers)
    pool.aside.look(SICK)
    assert pool.consumes()


def test_a_pool_comes_back_when_it_is_well(peers: Peers) -> None:
    pool = Pool(peers)
    peers.tell(beat())
    pool.aside.look(SICK)
    pool.aside.look(WELL)
    assert pool.consumes()
    assert not pool.aside.returns()


def test_what_never_reached_the_backend_goes_back_when_others_can_answer(
    peers: Peers, make_work: Callable[..., Work]
) -> None:
    pool = Pool(peers)
    pool.health = SICK
    assert not pool.aside.returned(judged(make_work()))  # nobody else is there
    peers.tell(beat())
    assert pool.aside.returned(judged(make_work()))
    assert not pool.consumes()


def test_what_was_asked_is_reported(peers: Peers, make_work: Callable[..., Work]) -> None:
    pool = Pool(peers)
    pool.health = SICK
    peers.tell(beat())
    work = make_work()
    for other in (judged(work, "succeeded", None), judged(work, "fault", "crashed"), judged(work, "expired")):
        assert not pool.aside.returned(other)
        assert not pool.aside.returned(judged(work) + other)
    assert pool.consumes()


def test_a_fault_of_one_model_alone_is_reported(peers: Peers, make_work: Callable[..., Work]) -> None:
    pool = Pool(peers)
    peers.tell(beat())
    assert not pool.aside.returned(judged(make_work()))  # the backend as a whole is well
    assert pool.consumes()


def test_nothing_goes_back_while_the_broker_would_give_it_to_this_pool_again(
    peers: Peers, make_work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    pool = Pool(peers, prompt=False)
    pool.health = SICK
    peers.tell(beat())
    assert not pool.aside.returned(judged(make_work()))
    assert not pool.aside.returns()
