"""An internal error does not stop the running scheduler; no broker is needed for these tests."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler.broker.service import TICK_INTERVAL_S, Service
from scheduler.effects import NO_EFFECTS, Effects
from scheduler.events import Event, LeadershipChanged, Signal
from scheduler.settings import Settings
from straightline import names
from straightline.contracts import StatusEvents
from straightline.models.catalogue import Catalogue

NOBODY = "amqp://127.0.0.1:1/"
PATIENCE = 10.0


def test_a_tick_that_raises_ends_neither_turns_nor_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(broker_url=NOBODY, models_dir=Path())
    service = Service(settings, Catalogue({}), origin="test")
    began, late, raised, turned, ticked = (threading.Event() for _ in range(5))

    def handle(event: Event, now: float) -> Effects:
        if isinstance(event, Signal):
            # It takes longer than a tick: its turn and the tick are due at once, and the tick comes first.
            late.wait(2 * TICK_INTERVAL_S)
            late.set()
        elif raised.is_set():
            ticked.set()
        elif late.is_set():
            raised.set()
            raise ZeroDivisionError
        return NO_EFFECTS

    def flush(now: float, *, final: bool) -> Effects:
        (turned if raised.is_set() else began).set()
        return NO_EFFECTS

    monkeypatch.setattr(service._core, "handle", handle)
    monkeypatch.setattr(service._core, "flush", flush)
    service.start()
    assert began.wait(PATIENCE)
    signal: Any = service._signal
    service._consumer.link.call(lambda: signal(names.HEARTBEAT_KEY, b""))
    assert raised.wait(PATIENCE)
    assert ticked.wait(PATIENCE)
    assert turned.wait(PATIENCE)
    service.stop(0.1)


def test_a_bug_in_status_reports_ends_no_tick(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(Settings(broker_url=NOBODY, models_dir=Path()), Catalogue({}), origin="test")
    turns: list[float] = []

    def fail(now: float) -> list[StatusEvents]:
        raise ZeroDivisionError

    monkeypatch.setattr(service._core._status, "tick", fail)
    monkeypatch.setattr(service._consumer.link, "call_later", lambda seconds, _: turns.append(seconds))
    service._handle(LeadershipChanged(leading=True))
    service._tick()
    assert turns == [TICK_INTERVAL_S, 0]
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("scheduler")]
    assert lines == ["status_events_not_published"]


def test_an_earlier_wakeup_replaces_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(Settings(broker_url=NOBODY, models_dir=Path()), Catalogue({}), origin="test")
    timers: list[Callable[[], None]] = []
    wakeups: list[Event] = []
    waits = [0.25, 0.01, 0.24]

    def handle(event: Event, now: float) -> Effects:
        wakeups.append(event)
        return NO_EFFECTS

    monkeypatch.setattr(service._consumer.link, "call_later", lambda _, timer: timers.append(timer))
    monkeypatch.setattr(service, "_turn_soon", lambda: None)
    monkeypatch.setattr(service._core, "handle", handle)
    monkeypatch.setattr(service._core, "next_wakeup", lambda now: waits.pop(0))
    service._schedule_wakeup()
    service._schedule_wakeup()
    rest, leases = timers
    leases()
    service._schedule_wakeup()
    rest()  # both timers for the rest end now, and one of them counts
    timers[2]()
    assert len(wakeups) == 2
