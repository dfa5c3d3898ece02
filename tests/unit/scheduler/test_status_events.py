"""Status events say where unfinished requests are, and why they are held."""

from typing import Any

import msgspec
import pytest

from scheduler.dispatch.decision import BATCH_RESTS, BATCH_SHARE_USED, PROBE_YIELDED, RETRY_BUDGET_SPENT
from scheduler.events import LeadershipChanged
from scheduler.handlers.status_resolver import WAITS_FOR_TURN, StatusResolver
from scheduler.output.status_feed import LEADER_INTERVAL_S, REFRESH_INTERVAL_S, REPORT_DELAY_S
from straightline import names
from straightline.contracts import Completion, Feedback, StatusEvent
from straightline.contracts.status_events import MAX_EVENTS
from straightline.ids import new_id
from tests.unit.scheduler.harness import NOW, SchedulerHarness, placements, tickets


@pytest.fixture
def harness() -> SchedulerHarness:
    harness = SchedulerHarness()
    harness.beat_all()
    return harness


def find(harness: SchedulerHarness, request_id: str) -> StatusEvent | None:
    core = harness.core
    resolver = StatusResolver(core._dispatcher, core._backends, core._shared.idempotency)
    return resolver.snapshot(core._resolver.known, harness.now)(request_id)


def ask(harness: SchedulerHarness, request_id: str) -> StatusEvent:
    found = find(harness, request_id)
    assert found is not None
    assert (found.id, found.at) == (request_id, harness.now)
    return found


def test_a_request_that_no_backend_can_take_is_held_with_the_reason() -> None:
    harness, request_id = SchedulerHarness(), new_id()
    harness.request(id=request_id, deadline=NOW + 30)
    harness.turn()
    harness.now += 1
    assert ask(harness, request_id) == StatusEvent(
        id=request_id,
        state="held",
        at=NOW + 1,
        submitted_at=NOW,
        model="digits",
        version="1",
        class_="interactive",
        held_reason="serverless: no pool reports; gpu-container: no pool reports; local: no pool reports",
        held_since=NOW,
        deadline=NOW + 30,
    )


def test_the_reason_is_the_present_one() -> None:
    harness, request_id = SchedulerHarness(), new_id()
    harness.request(id=request_id, allow=["local"])
    harness.beat("local", 4, healthy=False, reason="its server is away")
    why = ask(harness, request_id).held_reason
    assert why is not None
    assert "local: unhealthy: its server is away" in why
    assert "serverless: not in the request's allow list" in why


def test_a_request_held_in_the_broker_is_reported_as_held() -> None:
    harness = SchedulerHarness(hold_window=1)
    harness.request()
    harness.now += 0.1
    away = new_id()
    harness.request(id=away)
    (delayed,) = harness.turn()
    answer = ask(harness, away)
    assert (answer.state, answer.held_since) == ("held", NOW + 0.1)
    assert answer.held_reason is not None
    assert "local: no pool reports" in answer.held_reason
    harness.beat_all()
    assert "its turn" in (ask(harness, away).held_reason or "")
    harness.come_back(delayed, after=1.0)
    assert ask(harness, away).state == "placed"


def test_a_request_deferred_for_the_registry_names_that_reason() -> None:
    harness, request_id = SchedulerHarness(), new_id()
    harness.registry_synced = False
    harness.request(id=request_id, model="new")
    harness.turn()
    answer = ask(harness, request_id)
    assert (answer.state, answer.held_reason) == ("held", "it is not known yet what is deployed")


def test_a_placed_request_names_its_backend_until_it_ends(harness: SchedulerHarness) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    (placement,) = placements(harness.turn())
    answer = ask(harness, request_id)
    assert (answer.state, answer.backend, answer.placed_at) == ("placed", "local", NOW)
    assert (answer.version, answer.class_, answer.attempts) == ("1", "interactive", 1)
    assert answer.reason is not None
    assert (answer.reason.rule, answer.deadline) == (3, NOW + 60)
    (ticket,) = tickets(placement)
    harness.done(ticket)
    assert find(harness, request_id) is None, "it has ended: the ledger tells how"


def test_a_delayed_retry_names_the_failed_attempt(harness: SchedulerHarness) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    (placement,) = placements(harness.turn())
    harness.fail(*tickets(placement))
    (delayed,) = harness.turn()
    answer = ask(harness, request_id)
    assert (answer.state, answer.attempts) == ("held", 1)
    assert answer.held_reason == "its attempt on local failed (unreachable): it is placed again soon"
    harness.come_back(delayed, after=0.5)
    again = ask(harness, request_id)
    assert (again.state, again.backend) == ("placed", "gpu-container")
    assert (again.attempts, [attempt.backend for attempt in again.failed]) == (2, ["local"])


def test_a_request_that_was_seen_and_is_nowhere_in_memory_is_accepted(harness: SchedulerHarness) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    harness.turn()
    harness.lose_connection()
    assert ask(harness, request_id).state == "accepted"
    assert find(harness, new_id()) is None


def test_a_finished_request_is_not_held_even_if_a_duplicate_is() -> None:
    """One that the scheduler before this one placed came again with its queue."""
    harness, request_id = SchedulerHarness(), new_id()
    harness.request(id=request_id, redelivered=True)
    assert ask(harness, request_id).state == "held"
    done = Completion(id=request_id, state="succeeded", service=0.02)
    feedback = Feedback(backend="local", worker="local@test", done=[done])
    harness.signal(names.FEEDBACK_KEY, msgspec.json.encode(feedback))
    assert find(harness, request_id) is None


def reported(harness: SchedulerHarness, seconds: float) -> list[StatusEvent]:
    """Let time pass, and return the events that come of it."""
    harness.turn()
    harness.status.clear()
    harness.now += seconds
    harness.tick()
    harness.turn()
    return [event for message in harness.status for event in message.events]


def test_a_request_that_stays_placed_is_reported_once(harness: SchedulerHarness) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    assert reported(harness, 0.1) == []
    (event,) = reported(harness, REPORT_DELAY_S)
    assert (event.id, event.state, event.backend) == (request_id, "placed", "local")
    assert reported(harness, REPORT_DELAY_S) == []


def test_a_request_that_ends_soon_costs_no_event(harness: SchedulerHarness) -> None:
    harness.request()
    (placement,) = placements(harness.turn())
    harness.done(*tickets(placement))
    assert reported(harness, REPORT_DELAY_S) == []


def test_a_held_request_is_reported_again_when_its_reason_changes() -> None:
    harness, request_id = SchedulerHarness(), new_id()
    harness.request(id=request_id, allow=["local"])
    (event,) = reported(harness, REPORT_DELAY_S)
    assert (event.state, "local: no pool reports" in (event.held_reason or "")) == ("held", True)
    assert reported(harness, REFRESH_INTERVAL_S) == []
    harness.beat("local", 4, healthy=False, reason="its server is away")
    (event,) = reported(harness, REFRESH_INTERVAL_S)
    assert (event.id, "its server is away" in (event.held_reason or "")) == (request_id, True)


def test_events_change_nothing_for_the_requests() -> None:
    harness = SchedulerHarness()
    held = harness.request()
    reported(harness, REPORT_DELAY_S)
    assert harness.acked == []
    harness.beat_all()
    assert len(placements(harness.turn())) == 1
    assert harness.acked == [held]


def test_a_leader_without_events_reports_each_second_that_it_leads(harness: SchedulerHarness) -> None:
    for seconds, messages in ((LEADER_INTERVAL_S, 1), (LEADER_INTERVAL_S / 2, 0), (LEADER_INTERVAL_S, 1)):
        assert reported(harness, seconds) == []
        assert [message.leader for message in harness.status] == [True] * messages


def test_a_standby_publishes_no_status() -> None:
    harness = SchedulerHarness()
    harness.request()
    harness.feed(LeadershipChanged(leading=False))
    assert reported(harness, LEADER_INTERVAL_S) == []
    assert harness.status == []


def test_many_events_go_in_messages_of_bounded_size() -> None:
    harness = SchedulerHarness()
    for _ in range(MAX_EVENTS + 1):
        harness.request()
    assert len(reported(harness, REPORT_DELAY_S)) == MAX_EVENTS + 1
    assert [len(message.events) for message in harness.status] == [MAX_EVENTS, 1]


def test_a_clock_that_is_set_back_delays_no_event(harness: SchedulerHarness) -> None:
    harness.request()
    assert len(reported(harness, -3_600.0)) == 1


def test_batch_work_without_a_free_slot_names_that_reason() -> None:
    harness, request_id = SchedulerHarness(), new_id()
    harness.beat("local", 0)
    changes: dict[str, Any] = {"id": request_id, "class": "batch"}
    harness.request(**changes)
    harness.turn()
    answer = ask(harness, request_id)
    assert answer.state == "held"
    assert "local: no free slot" in (answer.held_reason or "")


def ask_why(harness: SchedulerHarness, request_id: str) -> str:
    answer = ask(harness, request_id)
    assert answer.state == "held"
    assert answer.held_reason is not None
    return answer.held_reason


def test_batch_work_that_has_used_its_share_names_that_reason() -> None:
    harness, request_id = SchedulerHarness(), new_id()
    harness.beat("gpu-container", 2)
    batch: dict[str, Any] = {"class": "batch", "allow": ["gpu-container"]}
    harness.request(**batch)
    assert len(placements(harness.turn())) == 1
    harness.request(id=request_id, **batch)
    assert harness.turn() == []
    assert ask_why(harness, request_id) == BATCH_SHARE_USED


def test_resting_batch_work_names_that_reason() -> None:
    harness, request_id = SchedulerHarness(), new_id()
    harness.beat("local", 4)
    harness.request(allow=["local"])
    assert len(placements(harness.turn())) == 1
    batch: dict[str, Any] = {"id": request_id, "class": "batch", "allow": ["local"]}
    harness.request(**{**batch, "id": new_id()})
    harness.turn()
    harness.request(**batch)
    harness.turn()
    assert ask_why(harness, request_id) == BATCH_RESTS


def test_a_retry_over_its_budget_names_that_reason() -> None:
    harness = SchedulerHarness(retry_floor=0, retry_share=0.0)
    harness.beat("local", 4)
    harness.beat("serverless", 4)
    request_id = new_id()
    harness.request(id=request_id)
    (placement,) = placements(harness.turn())
    harness.fail(*tickets(placement), error_class="store_unavailable")
    (delayed,) = harness.turn()
    harness.come_back(delayed, after=0.5)
    assert harness.turn() == []
    assert ask_why(harness, request_id) == RETRY_BUDGET_SPENT


def test_a_request_that_yields_the_probe_names_that_reason() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 100)
    suspects = [new_id() for _ in range(5)]
    failed = []
    for request_id in suspects:
        harness.request(id=request_id, allow=["local"])
        failed += [ticket for publish in placements(harness.turn()) for ticket in tickets(publish)]
    for ticket in failed:
        harness.fail(ticket, error_class="crashed")
    for delayed in [publish for publish in harness.turn() if publish.exchange == names.DELAYS]:
        harness.come_back(delayed, after=0.0)
    other = new_id()
    harness.request(id=other, allow=["local"])
    assert placements(harness.turn()) == []
    harness.now += 5.0
    assert ask_why(harness, suspects[0]) == PROBE_YIELDED
    assert ask_why(harness, other) == WAITS_FOR_TURN
