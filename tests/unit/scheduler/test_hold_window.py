"""The window of held requests: order, bounds, and what is skipped after a refusal."""

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scheduler.dispatch.hold_window import LARGE_REQUEST_BYTES, HoldWindow
from scheduler.effects import Delivery
from scheduler.lifecycle import PendingRequest
from tests.builders import NOW, make_body, make_request, make_ticket
from tests.unit.scheduler.harness import DIGITS

BODY = make_body()
REQUEST = make_request()
_tags = itertools.count(1)


def pending(age: float = 0.0, *, key: str = "digits", r_d: int = 10, in_memory: int = 0) -> PendingRequest:
    """A held request that was received `age` seconds ago; `in_memory` bytes of message, 0 for a small one."""
    ticket = make_ticket(BODY, received_at=NOW - age, r_d=r_d)
    if in_memory:
        ticket.request = msgspec.Raw(b" " * in_memory)
    return PendingRequest(REQUEST, ticket, DIGITS, Delivery("q", 1, next(_tags)), 1.0, hold_key=(key,))


def ages(window: HoldWindow) -> list[float]:
    return [NOW - held.ticket.received_at for held in window.held]


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 50), st.sampled_from("ab")), max_size=15))
def test_the_oldest_stay_in_order_and_the_counts_agree(size: int, arrivals: list[tuple[int, str]]) -> None:
    window, out = HoldWindow(size), []
    for age, key in arrivals:
        out += window.add(pending(age, key=key))
        assert len(window) <= size
        assert ages(window) == sorted(ages(window), reverse=True)
        for name in "ab":
            assert window.count(name) == sum(held.hold_key == (name,) for held in window.held)
    assert sorted([*ages(window), *(NOW - each.ticket.received_at for each in out)]) == sorted(
        age for age, _ in arrivals
    )
    if len(arrivals) > size:
        assert sum(ages(window)) == sum(sorted((age for age, _ in arrivals), reverse=True)[:size])


def test_the_youngest_large_request_makes_room_when_the_bytes_run_out() -> None:
    window = HoldWindow(2)
    old = pending(9, in_memory=LARGE_REQUEST_BYTES + 1)
    young = pending(1, in_memory=LARGE_REQUEST_BYTES + 1)
    assert window.add(old) == []
    assert window.add(young) == [young]
    assert window.add(pending(0)) == []
    assert len(window) == 2


def test_dropped_requests_no_longer_count_towards_the_bytes() -> None:
    window = HoldWindow(2)
    large = pending(9, in_memory=2 * LARGE_REQUEST_BYTES)
    window.add(large)
    assert window.drop(lambda each: each is large) == [large]
    assert window.drop(lambda each: each is large) == []
    assert window.add(pending(1, in_memory=2 * LARGE_REQUEST_BYTES)) == []


def test_only_an_older_request_of_the_same_key_that_is_not_larger_goes_first() -> None:
    window = HoldWindow(4)
    window.add(pending(5, r_d=100))
    assert window.older(pending(1, r_d=100))
    assert not window.older(pending(9, r_d=100))
    assert not window.older(pending(1, r_d=99))
    assert not window.older(pending(1, r_d=100, key="other"))


def test_a_released_request_leaves_and_the_refused_ones_keep_their_order() -> None:
    window = HoldWindow(5)
    for age in (1, 2, 3, 4):
        window.add(pending(age, key=f"group {age % 2}"))
    window.release(lambda each: each.hold_key == ("group 0",), lambda each: each.hold_key)
    assert ages(window) == [3, 1]
    assert (window.count("group 0"), window.count("group 1")) == (0, 2)


def test_after_a_refusal_only_smaller_requests_of_the_group_are_offered() -> None:
    window, offered = HoldWindow(6), []
    for age, r_d in ((6, 50), (5, 60), (4, 40), (3, 45), (2, 30)):
        window.add(pending(age, r_d=r_d))

    def refuse(each: PendingRequest) -> bool:
        offered.append(each.ticket.r_d)
        return False

    window.release(refuse, lambda _: "one group")
    assert offered == [50, 40, 30]
    assert ages(window) == [6, 5, 4, 3, 2]
