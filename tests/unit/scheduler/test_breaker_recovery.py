"""The promise in figures: only probes within 2 s of crossing the threshold, in use 5 s after recovery."""

import heapq
from dataclasses import dataclass, field
from itertools import count

import pytest

from straightline.contracts import Ticket
from tests.unit.scheduler.harness import NOW, SchedulerHarness, outcomes, placements, tickets

STEP = 0.05
"""Seconds between requests."""


@dataclass
class World:
    """A local backend that fails from `since` to `until`, beside a container that never does.

    Attributes:
        takes: seconds until a call fails.
        since, until: seconds since the story began.
        sent: when a request was sent to the local backend, and whether as a probe.
    """

    takes: float
    since: float
    until: float
    harness: SchedulerHarness = field(default_factory=SchedulerHarness)
    sent: list[tuple[float, bool]] = field(default_factory=list)
    opened: float | None = None

    def run(self, seconds: float) -> None:
        due: list[tuple[float, int, Ticket, bool]] = []  # when a call ends, and whether well
        serial = count()
        for number in range(int(seconds / STEP)):
            at = number * STEP
            self.harness.now = NOW + at
            if number % 20 == 0:
                self.harness.beat("local", 1_000)
                self.harness.beat("gpu-container", 1_000)
            while due and due[0][0] <= at:
                _, _, ticket, well = heapq.heappop(due)
                if well:
                    self.harness.done(ticket)
                else:
                    error_class = "timed_out" if self.takes > 1 else "unreachable"
                    self.harness.fail(ticket, error_class=error_class)
            if self.opened is None and self.harness.core._breakers.open():
                self.opened = at
            self.harness.request()
            self.harness.tick()
            for publish in placements(self.harness.turn()):
                for ticket in tickets(publish):
                    local = ticket.backend == "local"
                    if local:
                        assert ticket.reason is not None
                        self.sent.append((at, ticket.reason.probe))
                    well = not (local and self.since <= at < self.until)
                    heapq.heappush(due, (at + (0.02 if well else self.takes), next(serial), ticket, well))


@pytest.mark.parametrize("takes", [0.01, 0.5, 2.5, 10.0])
@pytest.mark.parametrize("until", [11.0, 14.3, 17.9, 33.7])
def test_only_probes_while_it_fails_and_full_use_soon_after(takes: float, until: float) -> None:
    world = World(takes=takes, since=5.0, until=until)
    world.run(until + 12.0)
    assert world.opened is not None or takes > until - 5.0
    opened = world.opened if world.opened is not None else until
    failing = [(at, probe) for at, probe in world.sent if opened <= at < until]
    assert all(probe for _, probe in failing)
    assert len(failing) <= max(0.0, 1 + (until - opened)), "at most one a second"
    used = [at for at, probe in world.sent if at >= until and not probe]
    assert used, "it was never used again"
    assert used[0] - until <= 5.0
    assert {outcome.state for outcome in outcomes(world.harness.published)} == set()


def test_a_call_of_many_requests_is_one_sample() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 1_000)
    for _ in range(64):
        harness.request()
    (placement,) = placements(harness.turn())
    harness.fail(*tickets(placement))
    assert harness.core._breakers.open() == {}


def test_a_backend_that_hangs_beyond_deadlines_is_seen_to_fail() -> None:
    """Every request ends `expired` in the pool, and none comes back as a failed attempt."""
    harness = SchedulerHarness()
    harness.beat("local", 1_000)
    for _ in range(5):
        harness.request()
        (ticket,) = tickets(placements(harness.turn())[0])
        harness.done(ticket, state="expired", fault="timed_out", service=2.0)
    assert list(harness.core._breakers.open()) == [("local", "digits")]


def test_a_deadline_too_short_for_anybody_is_no_fault() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 1_000)
    for _ in range(20):
        harness.request()
        (ticket,) = tickets(placements(harness.turn())[0])
        harness.done(ticket, state="expired", fault="timed_out", service=0.05)
    assert harness.core._breakers.open() == {}
