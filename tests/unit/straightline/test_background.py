"""Work that is done beside the connections."""

import threading

import pytest

from straightline.producer.background import BackgroundWorker
from tests.events import logged


def test_errands_are_done_in_order_and_before_it_closes() -> None:
    errands, done = BackgroundWorker("test"), list[int]()
    for number in range(100):
        assert errands.run(lambda number=number: done.append(number))  # type: ignore[misc]
    errands.close(30)
    assert done == list(range(100))
    assert not errands.run(lambda: done.append(0))


def test_one_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    errands, done = BackgroundWorker("test"), threading.Event()
    errands.run(lambda: 1 / 0)
    errands.run(done.set)
    assert done.wait(30)
    errands.close(30)
    assert logged(caplog, "background_task_failed")
    assert "ZeroDivisionError" in caplog.text


def test_without_an_errand_there_is_no_thread() -> None:
    before = threading.active_count()
    errands = BackgroundWorker("test")
    assert threading.active_count() == before
    errands.close(30)


def test_one_that_hangs_does_not_keep_the_owner_from_closing() -> None:
    errands, release = BackgroundWorker("test"), threading.Event()
    errands.run(lambda: release.wait(30))
    errands.close(0.05)
    release.set()


def test_an_errand_may_close_it() -> None:
    errands, closed = BackgroundWorker("test"), threading.Event()

    def close() -> None:
        errands.close(30)
        closed.set()

    errands.run(close)
    assert closed.wait(10)
