"""A failing backend receives only probes, and is used again soon after it has recovered."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.events import LeadershipChanged, Tick
from scheduler.placement.breaker import MAX_COOL_DOWN_S, PROBE_TIMEOUT_S, Breaker, BreakerConfig
from straightline import names
from straightline.contracts import Ticket
from straightline.names import State
from tests.unit.scheduler.harness import NOW, SchedulerHarness, outcomes, placements, tickets

RULES = BreakerConfig(share=0.5, samples=4, window=10.0)


def tripped() -> Breaker:
    breaker = Breaker(RULES)
    for number in range(4):
        breaker.record([str(number)], NOW, ok=False)
    return breaker


def test_it_opens_when_the_share_is_crossed_and_not_before_there_are_samples_enough() -> None:
    breaker = Breaker(RULES)
    for number in range(3):
        breaker.record([str(number)], NOW, ok=False)
        assert breaker.closed
    breaker.record(["4"], NOW, ok=False)
    assert breaker.refusal(NOW) == "breaker open: 4 of 4 calls failed"


def test_failures_that_have_left_the_window_count_no_more() -> None:
    breaker = Breaker(RULES)
    for second in range(0, 60, 5):
        breaker.record([str(second)], NOW + second, ok=False)
    assert breaker.closed


def test_one_probe_at_a_time_and_its_success_closes() -> None:
    breaker = tripped()
    assert breaker.refusal(NOW + 0.9) is not None
    assert breaker.refusal(NOW + 1.1) is None
    breaker.passed("probe", NOW + 1.1)
    assert "probe is in flight" in (breaker.refusal(NOW + 1.2) or "")
    breaker.record(["sent before it opened"], NOW + 1.3, ok=True)
    assert not breaker.closed
    breaker.record(["probe"], NOW + 1.4, ok=True)
    assert breaker.closed


def test_a_failed_probe_opens_it_for_longer_up_to_a_cap() -> None:
    breaker, now, waits = tripped(), NOW, []
    for number in range(5):
        start = now
        while breaker.refusal(now) is not None:
            now += 0.125
        waits.append(now - start)
        breaker.passed(f"probe {number}", now)
        breaker.record([f"probe {number}"], now, ok=False)
    assert waits == [1.0, 2.0, MAX_COOL_DOWN_S, MAX_COOL_DOWN_S, MAX_COOL_DOWN_S]


def test_a_probe_that_is_lost_makes_room_for_another() -> None:
    breaker = tripped()
    breaker.passed("lost", NOW + 1.1)
    assert breaker.refusal(NOW + 1.1 + PROBE_TIMEOUT_S + 0.1) is None


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=60))
def test_while_it_is_not_closed_no_two_probes_are_less_than_a_cool_down_or_a_patience_apart(
    story: list[tuple[bool, float]],
) -> None:
    breaker, now, last = Breaker(RULES), NOW, None
    for number, (ok, wait) in enumerate(story):
        now += wait
        if breaker.refusal(now) is not None:
            continue
        if not breaker.closed:
            assert last is None or now - last >= 1.0
            last = now
        else:
            last = None
        breaker.passed(str(number), now)
        breaker.record([str(number)], now, ok=ok)


def place_one(harness: SchedulerHarness, **changes: Any) -> Ticket | None:
    """Feed one request and return its ticket where it was placed."""
    harness.request(**changes)
    placed = [ticket for publish in placements(harness.turn()) for ticket in tickets(publish)]
    return placed[0] if placed else None


def trip_local(harness: SchedulerHarness) -> None:
    for _ in range(5):
        ticket = place_one(harness)
        assert ticket is not None
        assert ticket.backend == "local"
        harness.fail(ticket, error_class="unreachable")


def test_a_failing_backend_is_refused_with_the_reason_and_others_take_its_work() -> None:
    harness = SchedulerHarness()
    harness.beat_all(local=100)
    trip_local(harness)
    ticket = place_one(harness)
    assert ticket is not None
    assert ticket.reason is not None
    assert (ticket.backend, ticket.reason.rule, ticket.reason.s_f) == ("gpu-container", 4, False)
    assert ticket.reason.refused["local"] == "breaker open: 5 of 5 calls failed"


def test_a_backend_that_recovered_is_used_again_after_one_probe() -> None:
    harness = SchedulerHarness()
    harness.beat_all(local=100)
    trip_local(harness)
    harness.now += 1.1
    harness.beat_all(local=100)
    probe, other = place_one(harness), place_one(harness)
    assert probe is not None
    assert other is not None
    assert (probe.backend, other.backend) == ("local", "gpu-container")
    harness.done(probe)
    ticket = place_one(harness)
    assert ticket is not None
    assert ticket.backend == "local"


def test_a_request_that_only_the_failing_backend_may_take_waits_and_goes_as_its_probe() -> None:
    harness = SchedulerHarness()
    harness.beat_all(local=100)
    trip_local(harness)
    assert place_one(harness, allow=["local"]) is None
    harness.now += 1.1
    harness.tick()
    published = harness.turn()
    assert [publish.routing_key for publish in placements(published)] == ["local"]
    assert outcomes(harness.published) == []


@pytest.mark.parametrize("state", ["failed", "rejected"])
def test_a_models_own_errors_and_its_refusals_open_nothing(state: State) -> None:
    harness = SchedulerHarness()
    harness.beat_all(local=100)
    for _ in range(10):
        ticket = place_one(harness)
        assert ticket is not None
        assert ticket.backend == "local"
        harness.done(ticket, state=state)
    assert harness.core._breakers.open() == {}


def test_a_crashing_model_closes_the_way_to_itself_alone() -> None:
    harness = SchedulerHarness()
    harness.beat_all(local=100)
    for _ in range(5):
        ticket = place_one(harness)
        assert ticket is not None
        harness.fail(ticket, error_class="crashed")
    assert list(harness.core._breakers.open()) == [("local", "digits")]


def test_a_probe_counts_even_after_a_lost_connection() -> None:
    """After a lost connection the probe alone tells which model was called."""
    harness = SchedulerHarness()
    harness.beat_all(local=100)
    for _ in range(5):
        ticket = place_one(harness)
        assert ticket is not None
        harness.fail(ticket, error_class="crashed")
    harness.now += 1.1
    harness.beat_all(local=100)
    probe = place_one(harness)
    assert probe is not None
    assert probe.backend == "local"
    harness.lose_connection()
    harness.done(probe)
    assert harness.core._breakers.open() == {}


def test_a_clock_set_back_keeps_no_breaker_open_and_no_failure_in_its_window() -> None:
    breaker = tripped()
    assert breaker.refusal(NOW - 3600) is None
    breaker.passed("probe", NOW - 3600)
    assert breaker.refusal(NOW - 7200) is None
    quiet = Breaker(RULES)
    for number in range(3):
        quiet.record([str(number)], NOW, ok=False)
    for second in range(0, 60, 20):
        quiet.record([str(second)], NOW - 3600 + second, ok=False)
    assert quiet.closed


@pytest.mark.parametrize("late", [0.0, 0.5], ids=["in-order", "failures-are-told-late"])
def test_a_backend_that_fails_every_other_call_is_found_out(late: float) -> None:
    """In any order of failures and answers: a half is not on the edge."""
    breaker = Breaker(BreakerConfig())
    calls = [(number / 12 + late * (number % 2), number % 2 == 0) for number in range(120)]
    for at, ok in sorted(calls):
        if at < 9.0:
            breaker.record([], 1_000.0 + at, ok=ok)
    assert not breaker.closed


def test_a_standby_that_takes_over_sends_a_failing_backend_no_more_than_a_probe() -> None:
    leader, standby = SchedulerHarness(), SchedulerHarness()
    for harness in (leader, standby):
        harness.feed(LeadershipChanged(leading=harness is leader))
        harness.beat_all(local=100)
    trip_local(leader)
    for publish in leader.turn() + leader.published:
        if publish.type == names.TYPE_BREAKER:
            standby.signal(names.BREAKER_KEY, publish.body)
    standby.core.handle(Tick(), NOW + 0.5)
    assert standby.turn() == [], "while it stands by the leader alone speaks"
    standby.feed(LeadershipChanged(leading=True))
    ticket = place_one(standby)
    assert ticket is not None
    assert ticket.backend == "gpu-container"
    standby.now += 1.1
    standby.beat_all(local=100)
    probe, other = place_one(standby), place_one(standby)
    assert probe is not None
    assert other is not None
    assert probe.reason is not None
    assert (probe.backend, probe.reason.probe, other.backend) == ("local", True, "gpu-container")


def test_a_standby_hears_that_a_breaker_closed_and_a_leader_goes_by_its_own_count() -> None:
    harness = SchedulerHarness()
    harness.beat_all(local=100)
    state = {"backend": "local", "open": True, "at": NOW, "why": "5 of 5 calls failed"}
    harness.signal(names.BREAKER_KEY, msgspec.json.encode(state))
    assert not harness.core._breakers.open(), "it leads"
    harness.feed(LeadershipChanged(leading=False))
    harness.signal(names.BREAKER_KEY, msgspec.json.encode(state))
    assert set(harness.core._breakers.open()) == {("local", None)}
    harness.signal(names.BREAKER_KEY, b"{")
    harness.signal(names.BREAKER_KEY, msgspec.json.encode(state | {"open": False}))
    assert not harness.core._breakers.open()
