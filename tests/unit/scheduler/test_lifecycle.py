"""The stages of a request: which may follow which, and what each leaves in the ticket."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.lifecycle import TRANSITIONS, IllegalTransition, Lifecycle, Stage, stage_of
from straightline.contracts import Request, Ticket
from tests.builders import NOW, make_attempt, make_reason, make_request, make_ticket

STAGES: tuple[Stage, ...] = get_args(Stage)
ALLOWED = [(before, after) for before in STAGES for after in sorted(TRANSITIONS[before])]
FORBIDDEN = [
    (before, after)
    for before in STAGES
    for after in STAGES
    if after != "accepted" and before != "ended" and after not in TRANSITIONS[before]
]
PLACED: dict[str, Any] = {"backend": "local", "reason": make_reason(), "placed_at": NOW}
TICKETS: dict[Stage, Callable[[], Ticket]] = {
    "accepted": make_ticket,
    "held": lambda: make_ticket(held_since=NOW - 5),
    "placed": lambda: make_ticket(**PLACED),
    "retrying": lambda: make_ticket(attempts=[make_attempt()]),
}


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, Stage, float]] = []

    def __call__(self, request_id: str, stage: Stage, now: float) -> None:
        self.stages.append((request_id, stage, now))


def move(lifecycle: Lifecycle, request: Request, ticket: Ticket, stage: Stage) -> None:
    if stage == "held":
        lifecycle.hold(request, ticket, NOW)
    elif stage == "placed":
        lifecycle.place(request, ticket, "serverless", make_reason(), NOW)
    elif stage == "retrying":
        lifecycle.retry(request, ticket, ["local"], NOW)
    else:
        lifecycle.end(request, ticket, NOW)


@pytest.mark.parametrize(("before", "after"), ALLOWED)
def test_an_allowed_transition_is_made_and_announced_once(before: Stage, after: Stage) -> None:
    heard, request, ticket = Heard(), make_request(), TICKETS[before]()
    if before in ("placed", "retrying"):
        ticket.attempts = [make_attempt()]
    move(Lifecycle(heard), request, ticket, after)
    assert heard.stages == [(request.id, after, NOW)]
    if after != "ended":
        assert stage_of(ticket) == after


@pytest.mark.parametrize(("before", "after"), FORBIDDEN)
def test_a_forbidden_transition_raises_announces_nothing_and_leaves_the_ticket(
    before: Stage, after: Stage
) -> None:
    heard, ticket = Heard(), TICKETS[before]()
    with pytest.raises(IllegalTransition, match=f"from {before} to {after}"):
        move(Lifecycle(heard), make_request(), ticket, after)
    assert heard.stages == []
    untouched = TICKETS[before]()
    untouched.request = ticket.request
    assert ticket == untouched


def test_nothing_follows_the_end_and_nothing_becomes_accepted_again() -> None:
    assert TRANSITIONS["ended"] == frozenset()
    assert all("accepted" not in after for after in TRANSITIONS.values())
    assert all("ended" in TRANSITIONS[stage] for stage in STAGES if stage != "ended")


def test_a_request_placed_and_failed_may_be_placed_only_after_its_retry() -> None:
    lifecycle, request, ticket = Lifecycle(), make_request(), make_ticket()
    lifecycle.place(request, ticket, "local", make_reason(), NOW)
    lifecycle.record_attempt(ticket, make_attempt())
    with pytest.raises(IllegalTransition):
        lifecycle.place(request, ticket, "serverless", make_reason(), NOW)
    lifecycle.retry(request, ticket, ["local"], NOW)
    lifecycle.place(request, ticket, "serverless", make_reason(), NOW + 1)
    assert (ticket.backend, ticket.placed_at, ticket.excluded) == ("serverless", NOW + 1, ["local"])


def test_a_hold_keeps_the_time_at_which_the_first_one_began() -> None:
    lifecycle, request, ticket = Lifecycle(), make_request(), make_ticket()
    lifecycle.hold(request, ticket, NOW)
    lifecycle.hold(request, ticket, NOW + 30)
    assert ticket.held_since == NOW


def test_a_retry_ends_the_hold_so_that_the_next_one_counts_anew() -> None:
    lifecycle, request = Lifecycle(), make_request()
    ticket = make_ticket(**PLACED, held_since=NOW - 30, attempts=[make_attempt()])
    lifecycle.retry(request, ticket, ["local"], NOW)
    assert ticket.held_since is None
    lifecycle.hold(request, ticket, NOW + 2)
    assert ticket.held_since == NOW + 2


def test_a_ticket_that_an_older_scheduler_left_placed_can_be_placed_after_it_resumes() -> None:
    lifecycle, ticket = Lifecycle(), make_ticket(**PLACED)
    lifecycle.resume(ticket)
    assert stage_of(ticket) == "accepted"
    lifecycle.place(make_request(), ticket, "gpu-container", make_reason(), NOW)
    assert ticket.backend == "gpu-container"


@given(st.lists(st.sampled_from([stage for stage in STAGES if stage != "accepted"]), max_size=12))
def test_any_sequence_of_moves_follows_the_table_and_keeps_version_and_attempts(moves: list[Stage]) -> None:
    heard, request, ticket = Heard(), make_request(), make_ticket()
    lifecycle = Lifecycle(heard)
    lifecycle.choose_version(ticket, "7")
    for stage in moves:
        before = stage_of(ticket)
        if stage == "retrying":
            lifecycle.record_attempt(ticket, make_attempt(number=len(ticket.attempts) + 1))
            before = stage_of(ticket)
        announced = len(heard.stages)
        if stage in TRANSITIONS[before]:
            move(lifecycle, request, ticket, stage)
            assert len(heard.stages) == announced + 1
        else:
            with pytest.raises(IllegalTransition):
                move(lifecycle, request, ticket, stage)
            assert len(heard.stages) == announced
        if stage == "ended":
            break
        placement = (ticket.backend, ticket.reason, ticket.placed_at)
        assert all(value is None for value in placement) or all(value is not None for value in placement)
    assert ticket.version == "7"
    assert [attempt.number for attempt in ticket.attempts] == list(range(1, len(ticket.attempts) + 1))
