"""The account of many requests, of which each is confirmed or fails by itself."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from straightline.errors import BrokerUnavailable, PartlySubmitted, Rejected
from straightline.producer.submission_batch import BatchTracker

Settle = Callable[[BaseException | None], None]


def test_ids_are_in_order_whatever_the_order_of_the_confirms() -> None:
    account = BatchTracker()
    settles = [account.add(name) for name in "abc"]
    for settle in reversed(settles):
        settle(None)
    assert account.close() == ["a", "b", "c"]


def test_closing_waits_for_the_last_confirm() -> None:
    account = BatchTracker()
    settle = account.add("a")
    timer = threading.Timer(0.05, settle, (None,))
    timer.start()
    assert account.close() == ["a"]
    timer.join()


def test_nothing_sent_is_nothing_to_wait_for() -> None:
    assert BatchTracker().close() == []


def test_failures_are_reported_by_position_and_keep_their_ids() -> None:
    account = BatchTracker()
    account.add("a")(None)
    account.skip(Rejected("wrong"))
    account.add("b")(Rejected("full"))
    account.add("c")
    account.fail_last(Rejected("too large"))
    with pytest.raises(PartlySubmitted, match="3 of 4") as caught:
        account.close()
    assert caught.value.ids == ["a", None, "b", "c"]
    assert {at: str(error) for at, error in caught.value.failures.items()} == {
        1: "wrong",
        2: "full",
        3: "too large",
    }
    assert caught.value.stopped_at is None


def test_when_the_broker_is_unavailable_the_input_is_not_consumed() -> None:
    account = BatchTracker()
    settle = account.add("a")
    assert not account.stop_if_unavailable()
    settle(BrokerUnavailable("gone"))
    assert account.stop_if_unavailable()
    with pytest.raises(PartlySubmitted, match="nothing from number 1 on") as caught:
        account.close()
    assert caught.value.stopped_at == 1


def test_a_fault_of_ours_is_not_hidden_among_failures() -> None:
    account = BatchTracker()
    account.add("a")(ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        account.close()


@given(st.lists(st.sampled_from(["before", "after", "unsent", "refused"]), max_size=12))
def test_it_says_that_all_is_settled_once_and_not_too_early(fates: list[str]) -> None:
    told: list[int] = []
    account = BatchTracker(lambda: told.append(1))
    later: list[Settle] = []
    for number, fate in enumerate(fates):
        if fate == "refused":
            account.skip(Rejected("x"))
            continue
        settle = account.add(str(number))
        if fate == "before":
            settle(None)
        elif fate == "unsent":
            account.fail_last(Rejected("x"))
        else:
            later.append(settle)
    account.closing()
    for settle in later:
        assert not told
        settle(None)
    assert told == [1]
