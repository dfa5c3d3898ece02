"""What holds for links that share a thread."""

import threading
import time

import pytest

from straightline.amqp.connection.connection import ManagedConnection
from straightline.amqp.connection.loop_thread import AMQPThread
from tests.events import logged

NOBODY = "amqp://127.0.0.1:1/"
PATIENCE = 10.0


def _link(thread: AMQPThread, lost: list[BaseException] | None = None) -> ManagedConnection:
    told = [] if lost is None else lost
    return ManagedConnection(NOBODY, "test", on_channel=lambda _: None, on_lost=told.append, thread=thread)


def _runs(link: ManagedConnection) -> bool:
    ran = threading.Event()
    link.call(ran.set)
    return ran.wait(PATIENCE)


def test_the_thread_ends_with_the_last_link_and_not_before() -> None:
    thread = AMQPThread("shared")
    first, second = _link(thread), _link(thread)
    first.start()
    second.start()
    first.stop(PATIENCE)
    assert _runs(second)
    second.stop(PATIENCE)
    assert "amqp-shared" not in {each.name for each in threading.enumerate()}


def test_callbacks_of_both_run_on_the_one_thread() -> None:
    thread = AMQPThread("shared")
    links = [_link(thread), _link(thread)]
    seen: list[bool] = []
    for link in links:
        link.start()
        link.call(lambda: seen.append(links[0].on_loop_thread() and links[1].on_loop_thread()))
        assert _runs(link)
    for link in links:
        link.stop(PATIENCE)
    assert seen == [True, True]


def test_an_unexpected_fault_costs_both_their_connections_and_neither_its_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    thread = AMQPThread("shared")
    lost: tuple[list[BaseException], list[BaseException]] = ([], [])
    links = [_link(thread, told) for told in lost]
    for link in links:
        link.start()
    links[0].call(lambda: 1 // 0)  # type: ignore[arg-type]  # it raises
    assert _runs(links[1])
    assert _runs(links[0])
    for link in links:
        link.stop(PATIENCE)
    assert all(isinstance(told[0], ZeroDivisionError) for told in lost)
    assert logged(caplog, "amqp_thread_failed")


def test_a_timer_that_raises_does_not_stop_other_timers() -> None:
    link = ManagedConnection(NOBODY, "test", on_channel=lambda _: None, on_lost=lambda _: None)
    ran = threading.Event()

    def set_both() -> None:
        """Both are due at once, the faulty one first."""
        link.call_later(0, lambda: 1 // 0)  # type: ignore[arg-type]  # it raises
        link.call_later(0, ran.set)

    link.start()
    link.call(set_both)
    assert ran.wait(PATIENCE)
    link.stop(PATIENCE)


def test_a_link_that_was_never_started_is_stopped_at_once() -> None:
    began = time.monotonic()
    ManagedConnection(NOBODY, "test", on_channel=lambda _: None, on_lost=lambda _: None).stop(PATIENCE)
    assert time.monotonic() - began < PATIENCE / 2
