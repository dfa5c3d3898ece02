from straightline.contracts import ReplyAddress
from straightline.contracts.lease import ReplyGroup
from tests.unit.scheduler.harness import NOW, SchedulerHarness, leases, placements, request_body, tickets

GRACE = 7.0


def _desk() -> SchedulerHarness:
    harness = SchedulerHarness(lease_grace=GRACE, coalesce=64)
    harness.beat_all(local=100)
    return harness


def test_a_placement_has_one_lease_that_names_its_requests_and_ends_after_their_last_deadline() -> None:
    harness = _desk()
    for number in range(5):
        harness.request(deadline=NOW + 50 + number)
    published = harness.turn()
    (placement,) = placements(published)
    (lease,) = leases(published)
    assert len(set(lease.ids)) == len(tickets(placement)) == 5
    assert (lease.task_id, lease.part) == (placement.message_id, 0)
    assert (lease.backend, lease.model, lease.version, lease.class_) == (
        "local",
        "digits",
        "1",
        "interactive",
    )
    assert (lease.placed_at, lease.until, lease.attempt) == (NOW, NOW + 54 + GRACE, 1)


def test_placements_of_one_turn_are_reported_in_one_message() -> None:
    harness = SchedulerHarness(coalesce=2)
    harness.beat_all(local=100)
    for _ in range(6):
        harness.request()
    published = harness.turn()
    assert len(placements(published)) == 3
    assert len(published) == 4
    assert [len(lease.ids) for lease in leases(published)] == [2, 2, 2]


def test_a_request_of_hours_does_not_lengthen_the_lease_of_one_of_seconds() -> None:
    harness = _desk()
    harness.request(request_body(NOW, **{"class": "batch", "deadline": NOW + 60}))
    harness.request(request_body(NOW, **{"class": "batch", "batch_id": "job"}))
    published = harness.turn()
    assert len(placements(published)) == 1
    short, long = leases(published)
    assert (short.part, long.part) == (0, 1)
    assert short.task_id == long.task_id
    assert (short.until, short.batch_id) == (NOW + 60 + GRACE, None)
    assert (long.until, long.class_, long.batch_id) == (NOW + 86_400 + GRACE, "batch", "job")


def test_a_lease_names_the_number_of_the_attempt() -> None:
    harness = _desk()
    harness.request()
    published = harness.turn()
    (ticket,) = tickets(placements(published)[0])
    harness.fail(ticket)
    (delayed,) = harness.turn()
    harness.come_back(delayed, after=1.0)
    (lease,) = leases(harness.turn())
    assert (lease.attempt, lease.backend) == (2, "gpu-container")


def test_a_reply_address_is_named_once_with_the_positions_of_its_requests() -> None:
    harness = _desk()
    harness.request(reply=False)
    harness.request()
    harness.request()
    (lease,) = leases(harness.turn())
    assert lease.awaited == [ReplyGroup(to="straightline.reply.test", positions=[1, 2])]


def test_a_correlation_id_of_the_producers_own_is_kept() -> None:
    harness = _desk()
    harness.request()
    (ticket,) = tickets(placements(harness.turn())[0])
    ticket.reply = ReplyAddress(to="elsewhere", correlation_id="c-7")
    harness.fail(ticket)
    (delayed,) = harness.turn()
    harness.come_back(delayed, after=1.0)
    (lease,) = leases(harness.turn())
    assert lease.awaited == [ReplyGroup(to="elsewhere", positions=[0], correlation_ids=["c-7"])]


def test_a_held_request_has_no_lease() -> None:
    harness = SchedulerHarness()
    harness.request(request_body(NOW))
    assert leases(harness.turn()) == []


def test_several_turns_are_reported_in_one_message_and_acknowledged_after_it() -> None:
    harness = _desk()
    for _ in range(3):
        harness.request()
        assert len(harness.turn(final=False)) == 1
    assert harness.acked == []
    published = harness.turn()
    assert [len(lease.ids) for lease in leases(published)] == [1, 1, 1]
    assert len(published) == 1
    assert len(harness.acked) == 3
