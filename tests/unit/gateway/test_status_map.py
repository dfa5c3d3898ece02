"""The map keeps the most advanced event of each request, within its bound."""

import itertools

import pytest

from gateway.http.requests.status_map import LEADER_TIMEOUT_S, StatusMap
from straightline.contracts import StatusEvent, StatusEvents
from straightline.ids import new_id
from straightline.names import Stage

ID = new_id()


def event(state: Stage, attempts: int, at: float = 1.0, id_: str = ID) -> StatusEvent:
    return StatusEvent(id=id_, state=state, at=at, attempts=attempts)


ORDER = [
    event("accepted", 0),
    event("held", 0),
    event("placed", 1),
    event("running", 1),
    event("held", 1),
    event("placed", 2),
]


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(ORDER, 2)))
def test_the_more_advanced_event_counts_in_whichever_order_they_arrive(
    first: StatusEvent, second: StatusEvent
) -> None:
    for arriving in ((first, second), (second, first)):
        status = StatusMap()
        status.update(StatusEvents(at=1.0, events=list(arriving)))
        assert status.find(ID) is second


def test_the_later_of_two_equal_events_wins() -> None:
    status = StatusMap()
    status.update(StatusEvents(at=1.0, events=[event("held", 0, 1.0), event("held", 0, 2.0)]))
    found = status.find(ID)
    assert found is not None
    assert found.at == 2.0


def test_above_the_bound_the_request_without_news_for_longest_is_forgotten() -> None:
    status = StatusMap(max_requests=2)
    ids = [new_id() for _ in range(3)]
    status.update(StatusEvents(at=1.0, events=[event("held", 0, id_=id_) for id_ in ids[:2]]))
    status.update(StatusEvents(at=2.0, events=[event("placed", 1, id_=ids[0])]))
    status.update(StatusEvents(at=3.0, events=[event("held", 0, id_=ids[2])]))
    assert [status.find(id_) is not None for id_ in ids] == [True, False, True]


def test_an_ended_request_is_dropped() -> None:
    status = StatusMap()
    status.update(StatusEvents(at=1.0, events=[event("held", 0)]))
    status.drop(ID)
    status.drop(ID)
    assert status.find(ID) is None


def test_only_a_leader_that_was_heard_lately_makes_the_map_current() -> None:
    now = 100.0
    status = StatusMap(lambda: now)
    for at in range(-3_600, 1):  # from the past
        status.update(StatusEvents(at=float(at), leader=True))
    assert status.stale_reason() == "no scheduler leads now"
    status.update(StatusEvents(at=1.0))  # a pool
    assert status.stale_reason() is not None
    now += 0.9
    status.update(StatusEvents(at=1.0, leader=True))
    assert status.stale_reason() is None
    now += LEADER_TIMEOUT_S + 1
    assert status.stale_reason() is not None
    status.update(StatusEvents(at=1.0, leader=True))  # read again, after a lost connection
    assert status.stale_reason() is not None
    status.update(StatusEvents(at=7.0, leader=True))
    assert status.stale_reason() is None


def test_a_leader_whose_clock_is_behind_the_last_one_is_heard() -> None:
    now = 0.0
    status = StatusMap(lambda: now)
    for at in (1_000.0, 1_001.0, 1_002.0, 400.0, 401.0):  # a failover, or a clock that was set back
        now += 1.0
        status.update(StatusEvents(at=at, leader=True))
    now += LEADER_TIMEOUT_S - 0.5
    assert status.stale_reason() is None


def test_a_stream_that_is_read_again_is_no_sign_of_a_leader() -> None:
    now = 0.0
    status = StatusMap(lambda: now)
    for at in range(100):
        now += 1.0
        status.update(StatusEvents(at=float(at), leader=True))
    now += LEADER_TIMEOUT_S + 1
    for at in range(100):
        for _ in range(2):  # a report of two messages
            status.update(StatusEvents(at=float(at), leader=True))
    assert status.stale_reason() == "no scheduler leads now"


def test_a_stream_that_cannot_be_read_is_named() -> None:
    status = StatusMap()
    status.update(StatusEvents(at=2.0, leader=True))
    status.reader_trouble = lambda: "connection refused"
    assert status.stale_reason() == "status events cannot be read (connection refused)"
