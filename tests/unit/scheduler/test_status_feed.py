"""The feed of status events: which requests are reported, when, and how often."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from scheduler.lifecycle import Stage
from scheduler.output.status_feed import (
    LEADER_INTERVAL_S,
    REFRESH_INTERVAL_S,
    REPORT_DELAY_S,
    StatusFeed,
)
from straightline.contracts import StatusEvent, StatusEvents
from straightline.contracts.status_events import MAX_EVENTS
from straightline.names import Stage as State

STATES: dict[Stage, State] = {"held": "held", "placed": "placed", "retrying": "held"}
START = 1_000.0


class Requests:
    """The requests of a scheduler, and what its feed published of them."""

    def __init__(self) -> None:
        self.now = START
        self.states: dict[str, State] = {}
        self.reasons: dict[str, str] = {}
        self.feed = StatusFeed(self.snapshot, self.held)
        self.messages: list[StatusEvents] = []

    def snapshot(self, now: float) -> Callable[[str], StatusEvent | None]:
        return lambda request_id: self.event(request_id, now) if request_id in self.states else None

    def held(self, now: float) -> list[StatusEvent]:
        return [self.event(request_id, now) for request_id, state in self.states.items() if state == "held"]

    def event(self, request_id: str, now: float) -> StatusEvent:
        reason = self.reasons.get(request_id)
        return StatusEvent(id=request_id, state=self.states[request_id], at=now, held_reason=reason)

    def move(self, request_id: str, stage: Stage) -> None:
        if stage == "ended":
            self.states.pop(request_id, None)
        else:
            self.states[request_id] = STATES[stage]
        self.feed.on_transition(request_id, stage, self.now)

    def tick(self, after: float = 0.0) -> list[StatusEvent]:
        self.now += after
        messages = list(self.feed.tick(self.now))
        self.messages += messages
        return [event for message in messages for event in message.events]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["held", "placed", "retrying", "ended"]),
            st.floats(0, 0.5),
        ),
        max_size=30,
    )
)
def test_each_request_that_stays_is_reported_once_in_its_last_state_and_none_after_its_end(
    moves: list[tuple[str, Stage, float]],
) -> None:
    requests = Requests()
    changed_at: dict[str, float] = {}
    for request_id, stage, after in moves:
        for event in requests.tick(after):
            assert event.state == requests.states[event.id]
            assert changed_at.pop(event.id) + REPORT_DELAY_S <= requests.now
        overdue = [name for name, at in changed_at.items() if at + REPORT_DELAY_S <= requests.now]
        assert overdue == []
        requests.move(request_id, stage)
        if stage == "ended":
            changed_at.pop(request_id, None)
        else:
            changed_at.setdefault(request_id, requests.now)
    assert {event.id for event in requests.tick(1.0)} == changed_at.keys()
    assert [event for _ in range(5) for event in requests.tick(1.0)] == []


def test_a_request_that_ends_at_once_costs_no_event() -> None:
    requests = Requests()
    requests.move("a", "placed")
    requests.now += REPORT_DELAY_S / 2
    requests.move("a", "ended")
    assert requests.tick(REPORT_DELAY_S) == []


def test_a_request_that_ended_without_notice_costs_no_event() -> None:
    requests = Requests()
    requests.move("a", "placed")
    del requests.states["a"]
    assert requests.tick(REPORT_DELAY_S) == []


def test_a_held_request_is_reported_again_only_when_its_reason_changes() -> None:
    requests = Requests()
    requests.tick()
    requests.reasons["a"] = "no slot is free"
    requests.move("a", "held")
    assert [event.held_reason for event in requests.tick(REPORT_DELAY_S)] == ["no slot is free"]
    assert requests.tick(REFRESH_INTERVAL_S) == []
    requests.reasons["a"] = "no pool reports"
    assert requests.tick(REFRESH_INTERVAL_S / 2) == []
    assert [event.held_reason for event in requests.tick(REFRESH_INTERVAL_S / 2)] == ["no pool reports"]
    assert requests.tick(REFRESH_INTERVAL_S) == []


def test_a_new_leader_does_not_compare_with_the_reasons_of_an_earlier_term() -> None:
    requests = Requests()
    requests.tick()
    requests.move("a", "held")
    requests.tick(REPORT_DELAY_S)
    requests.move("b", "placed")
    requests.feed.clear()
    requests.reasons["a"] = "no pool reports"
    assert requests.tick(REFRESH_INTERVAL_S) == []


def test_an_idle_leader_sends_one_empty_message_each_second() -> None:
    requests = Requests()
    for _ in range(8):
        requests.tick(LEADER_INTERVAL_S / 4)
    assert [(message.leader, message.events) for message in requests.messages] == [(True, [])] * 2
    assert requests.messages[1].at - requests.messages[0].at == LEADER_INTERVAL_S


def test_a_clock_set_back_delays_neither_the_leaders_message_nor_a_report() -> None:
    requests = Requests()
    requests.tick()
    requests.move("a", "placed")
    assert [event.id for event in requests.tick(-500.0)] == ["a"]
    requests.tick(-100.0)
    assert len(requests.messages) == 3


@given(st.integers(0, 3 * MAX_EVENTS))
def test_many_events_are_split_into_messages_of_limited_size_in_order(count: int) -> None:
    requests = Requests()
    ids = [str(number) for number in range(count)]
    for request_id in ids:
        requests.move(request_id, "placed")
    assert [event.id for event in requests.tick(REPORT_DELAY_S)] == ids
    sizes = [len(message.events) for message in requests.messages]
    assert max(sizes) <= MAX_EVENTS
    assert len(sizes) == max(1, -(-count // MAX_EVENTS))
