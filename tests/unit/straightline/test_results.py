"""Results that wait to be asked for."""

import math
import threading

from hypothesis import given
from hypothesis import strategies as st

from straightline.producer.results import ResultBuffer


def test_a_result_can_be_read_later_and_again() -> None:
    results = ResultBuffer(10, 1_000)
    results.put("a", b"1")
    assert results.wait("a", 0) == b"1"
    assert results.wait("a", 0) == b"1"
    assert results.wait("b", 0) is None


def test_one_may_wait_for_ever() -> None:
    results = ResultBuffer(10, 1_000)
    found: list[bytes | None] = []
    thread = threading.Thread(target=lambda: found.append(results.wait("a", math.inf)))
    thread.start()
    results.put("a", b"1")
    thread.join(30)
    assert found == [b"1"]


def test_a_waiting_caller_is_woken_by_its_result() -> None:
    results = ResultBuffer(10, 1_000)
    found: list[bytes | None] = []
    thread = threading.Thread(target=lambda: found.append(results.wait("a", 30)))
    thread.start()
    results.put("b", b"2")
    results.put("a", b"1")
    thread.join(30)
    assert found == [b"1"]


def test_a_later_result_of_the_same_id_replaces_the_first() -> None:
    results = ResultBuffer(10, 1_000)
    results.put("a", b"1")
    assert results.wait("a", 0) == b"1"
    results.put("a", b"2")
    assert results.wait("a", 0) == b"2"
    assert len(results) == 1


def test_a_forgotten_result_is_gone_and_uses_no_space() -> None:
    results = ResultBuffer(10, 10)
    for read in (False, True):
        results.put("a", b"0123456789")
        if read:
            results.look("a")
        results.forget("a")
        assert results.look("a") is None
        assert len(results) == 0
    results.forget("b")
    results.put("b", b"0123456789")
    assert results.look("b") is not None


def test_over_the_limit_read_results_are_dropped_first_then_the_oldest() -> None:
    results = ResultBuffer(3, 1_000)
    for key in "abc":
        results.put(key, key.encode())
    results.wait("b", 0)
    results.put("d", b"d")
    assert [results.wait(key, 0) for key in "bd"] == [None, b"d"]
    assert results.dropped == 0
    results.put("e", b"e")
    results.put("f", b"f")
    assert results.wait("a", 0) is None
    assert results.dropped == 1


def test_one_result_larger_than_the_limit_is_kept_all_the_same() -> None:
    results = ResultBuffer(10, 4)
    results.put("a", b"12")
    results.put("b", b"1234567")
    assert results.wait("a", 0) is None
    assert results.wait("b", 0) == b"1234567"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9), st.booleans()), max_size=60))
def test_the_bounds_always_hold(steps: list[tuple[str, int, bool]]) -> None:
    results = ResultBuffer(4, 20)
    for key, size, read in steps:
        results.put(key, b"x" * size)
        assert results.wait(key, 0) is not None if read else True
        kept = [results._unread.get(each) or results._read.get(each) or b"" for each in "abcdef"]
        assert len(results) <= 4
        assert sum(map(len, kept)) == results._bytes
        assert results._bytes <= 20


def test_a_caller_is_called_once_or_gets_an_existing_result_at_once() -> None:
    results = ResultBuffer(10, 1_000)
    called: list[bytes | None] = []
    assert results.ask("a", called.append) is None
    results.put("a", b"1")
    results.put("a", b"2")
    assert called == [b"1"]
    assert results.ask("a", called.append) == b"2"
    assert called == [b"1"]


def test_a_withdrawn_caller_is_not_called() -> None:
    results = ResultBuffer(10, 1_000)
    called: list[bytes | None] = []
    results.ask("a", called.append)
    results.give_up("a", called.append)
    results.give_up("b", called.append)
    results.put("a", b"1")
    assert called == []


def test_closing_ends_present_and_later_waits() -> None:
    results = ResultBuffer(10, 1_000)
    called: list[bytes | None] = []
    results.put("a", b"1")
    results.ask("b", called.append)
    results.close()
    assert called == [None]
    assert results.ask("a", called.append) == b"1"
    assert results.ask("c", called.append) is None
    assert called == [None, None]
    assert results.wait("c", 30) is None


def test_an_awaited_result_is_delivered_whatever_the_bounds() -> None:
    results = ResultBuffer(1, 1)
    called: list[bytes | None] = []
    for key in "abc":
        results.ask(key, called.append)
    for key in "abc":
        results.put(key, key.encode() * 9)
    assert called == [b"a" * 9, b"b" * 9, b"c" * 9]
    assert results.dropped == 0
