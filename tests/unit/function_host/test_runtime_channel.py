"""The channel of an instance: every invocation is answered once, whoever is first, and no thread waits on."""

import queue
import threading
from concurrent.futures import Future

import pytest

from function_host.hosting.errors import Throttled
from function_host.hosting.event_queue import EventQueue
from function_host.hosting.pool import TOTAL_LIMIT
from function_host.instances.channel import (
    Channel,
    InitFailed,
    InstanceGone,
    Invocation,
    RuntimeResponse,
)
from function_host.instances.invocation import Event

ANSWER = RuntimeResponse(b'"yes"', failed=False)
GONE = InstanceGone("signal: killed", out_of_memory=True)


def invocation(request_id: str = "1") -> Invocation:
    return Invocation(request_id, b"{}", deadline_ms=1, arn="arn:aws:lambda:x:1:function:f")


def test_an_answer_reaches_the_invocation_that_the_runtime_took() -> None:
    channel, invoked = Channel(), invocation()
    channel.offer(invoked)
    assert channel.next() is invoked
    assert channel.ready.done()
    assert channel.was_read(invoked)
    assert channel.respond("1", ANSWER)
    assert invoked.response.result(0) == ANSWER


def test_an_answer_with_another_id_or_a_second_one_is_refused() -> None:
    channel, invoked = Channel(), invocation()
    assert not channel.respond("1", ANSWER)
    channel.offer(invoked)
    assert not channel.respond("2", ANSWER)
    assert not invoked.response.done()
    assert channel.respond("1", ANSWER)
    assert not channel.respond("1", RuntimeResponse(b"", failed=True))
    assert invoked.response.result(0) == ANSWER


@pytest.mark.parametrize("offered_first", [True, False])
def test_an_invocation_ends_with_the_instance_before_or_after_it(offered_first: bool) -> None:
    channel, invoked = Channel(), invocation()
    if offered_first:
        channel.offer(invoked)
    channel.close(GONE)
    if not offered_first:
        channel.offer(invoked)
    with pytest.raises(InstanceGone, match="signal: killed"):
        invoked.response.result(0)
    with pytest.raises(InstanceGone):
        channel.ready.result(0)


def test_an_answer_before_the_end_counts() -> None:
    channel, invoked = Channel(), invocation()
    channel.offer(invoked)
    channel.respond("1", ANSWER)
    channel.close(GONE)
    assert invoked.response.result(0) == ANSWER


def test_a_failed_initialisation_keeps_its_report_when_the_process_ends() -> None:
    channel = Channel()
    channel.init_failed(b'{"errorType": "ImportError"}')
    channel.close(GONE)
    with pytest.raises(InitFailed) as caught:
        channel.ready.result(0)
    assert caught.value.payload == b'{"errorType": "ImportError"}'


def test_an_invocation_that_was_not_taken_or_whose_connection_broke_counts_as_unread() -> None:
    channel, invoked = Channel(), invocation()
    channel.offer(invoked)
    assert not channel.was_read(invoked)
    channel.next()
    channel.mark_broken()
    assert not channel.was_read(invoked)


def test_stopping_releases_the_thread_that_waits_for_an_invocation() -> None:
    channel, got = Channel(), queue.SimpleQueue[Invocation | None]()
    thread = threading.Thread(target=lambda: got.put(channel.next()))
    thread.start()
    channel.ready.result(5)
    channel.stop()
    thread.join(5)
    assert got.get(timeout=1) is None


class Result:
    failed = False


class ScriptedHost:
    """A host that throttles a number of times before each event runs."""

    def __init__(self, throttles: int = 0, error: Exception | None = None) -> None:
        self.throttles = throttles
        self.error = error
        self.calls: list[str] = []
        self.done: Future[str] = Future()
        self.hold = threading.Event()
        self.hold.set()

    def invoke(self, name: str, event: Event) -> Result:
        self.hold.wait(5)
        self.calls.append(name)
        if self.throttles:
            self.throttles -= 1
            raise Throttled(TOTAL_LIMIT)
        if name == "last":
            self.done.set_result(name)
        if self.error is not None:
            raise self.error
        return Result()


def event() -> Event:
    return Event("1", b"{}")


def test_a_throttled_event_is_retried_until_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("function_host.hosting.event_queue.RETRY_INTERVAL_S", 0.0)
    host = ScriptedHost(throttles=3)
    events = EventQueue(host, threads=1)  # type: ignore[arg-type]
    events.submit("last", event())
    assert host.done.result(5) == "last"
    assert host.calls == ["last"] * 4
    events.close()


def test_an_error_of_one_event_does_not_stop_the_next() -> None:
    host = ScriptedHost(error=ValueError("broken"))
    events = EventQueue(host, threads=1)  # type: ignore[arg-type]
    events.submit("first", event())
    events.submit("last", event())
    assert host.done.result(5) == "last"
    events.close()


def test_events_beyond_the_queue_are_throttled_until_one_ends() -> None:
    host = ScriptedHost()
    host.hold.clear()
    events = EventQueue(host, threads=1, queue_size=1)  # type: ignore[arg-type]
    events.submit("first", event())
    events.submit("last", event())
    with pytest.raises(Throttled):
        events.submit("third", event())
    host.hold.set()
    assert host.done.result(5) == "last"
    events.close()
