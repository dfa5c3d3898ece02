"""Heartbeats report a pool's state until the pool closes."""

import threading
import time
from concurrent.futures import Future
from typing import Any

import msgspec

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Heartbeat
from workers.coordination import heartbeat
from workers.coordination.heartbeat import HeartbeatSender
from workers.coordination.latencies import SAMPLE_TTL_S, FastestLatencies


class Sender:
    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers
        self.beats: list[Heartbeat] = []
        self.several = threading.Event()

    def publish(self, message: Outgoing) -> Future[None]:
        assert (message.persistent, message.mandatory) == (False, False)
        self.beats.append(msgspec.json.decode(message.body, type=Heartbeat))
        if len(self.beats) >= 3:
            self.several.set()
        future: Future[None] = Future()
        if self.answers:
            future.set_result(None)
        return future


def pulse(sender: Sender, backend: Any, best: FastestLatencies | None = None) -> HeartbeatSender:
    return HeartbeatSender(
        sender=sender,
        backend=backend,
        worker="local@test",
        slots=4,
        active=lambda: 3,
        latencies=best or FastestLatencies(),
        clock=lambda: 7.0,
    )


def test_a_heartbeat_reports_the_pools_state(backend: Any) -> None:
    best = FastestLatencies()
    for seconds in (0.5, 0.2, 0.9):
        best.add("digits", seconds)
    sent = msgspec.json.decode(pulse(Sender(), backend, best).heartbeat().body, type=Heartbeat)
    assert sent == Heartbeat(
        backend="local",
        worker="local@test",
        sent_at=7.0,
        interval=1.0,
        slots=4,
        active=3,
        healthy=True,
        best_cases={"digits": 0.2},
    )


def test_the_fastest_latency_is_kept_by_model_and_expires() -> None:
    now = [0.0]
    best = FastestLatencies(lambda: now[0])
    best.add("slow", 9.0)
    best.add("quick", 0.1)
    assert best.get() == {"slow": 9.0, "quick": 0.1}
    now[0] = SAMPLE_TTL_S
    best.add("quick", 0.2)
    assert best.get() == {"quick": 0.2}


def test_heartbeats_are_sent_until_the_stop_and_the_last_one_says_closing(
    backend: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL_S", 0.001)
    sender = Sender()
    running = pulse(sender, backend)
    running.start()
    assert sender.several.wait(10)
    running.stop()
    assert not any(beat.closing for beat in sender.beats[:-1])
    assert (sender.beats[-1].closing, sender.beats[-1].healthy) == (True, False)


def test_a_change_sends_a_heartbeat_at_once(backend: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL_S", 60.0)
    sender = Sender()
    running = pulse(sender, backend)
    running.start()
    deadline = time.monotonic() + 30
    while not sender.several.is_set():
        running.send_now()
        assert time.monotonic() < deadline
    running.stop()
    assert sender.beats[-1].closing


def test_heartbeats_do_not_queue_up_during_an_outage(backend: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL_S", 0.001)
    sender = Sender(answers=False)
    running = pulse(sender, backend)
    running.start()
    assert not sender.several.wait(0.1)
    running.stop()
    assert [beat.closing for beat in sender.beats] == [False, True]


def test_a_failing_health_check_does_not_stop_heartbeats(backend: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL_S", 0.001)
    healthy = backend.health
    failures = iter([ValueError("a defect")])

    def health() -> Any:
        for failure in failures:
            raise failure
        return healthy()

    backend.health = health
    sender = Sender()
    running = pulse(sender, backend)
    running.start()
    assert sender.several.wait(10)
    running.stop()
