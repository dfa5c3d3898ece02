"""What waits is served in the order in which it came, however it waited."""

import json
from itertools import pairwise
from typing import Any

from straightline import names
from straightline.contracts import Ticket
from straightline.ids import new_id
from tests.unit.scheduler.desk import NOW, Desk, infer, outcomes, placements, tickets


def placed(desk: Desk) -> list[str]:
    return [_id(ticket) for publish in placements(desk.turn()) for ticket in tickets(publish)]


def _id(ticket: Ticket) -> str:
    return str(json.loads(bytes(ticket.request))["id"])


def hold(desk: Desk, count: int, **changes: Any) -> list[str]:
    """Feed requests a millisecond apart."""
    ids = []
    for _ in range(count):
        desk.now += 0.001
        ids.append(new_id())
        desk.request(id=ids[-1], **changes)
    return ids


def test_those_that_waited_in_the_broker_keep_their_turn() -> None:
    desk = Desk(hold_window=2)
    ids = hold(desk, 4)
    away = desk.turn()
    assert [publish.exchange for publish in away] == [names.DELAYS] * 2
    desk.beat("local", 2)
    assert placed(desk) == ids[:2]
    young = hold(desk, 2)
    for publish in away:
        desk.come_back(publish, after=0.0)
    desk.turn()
    desk.beat("local", 3)
    desk.beat("local", 4)
    assert placed(desk) == ids[2:]
    desk.beat("local", 6)
    assert desk.core.placer.held + len(placed(desk)) == 0 or young


def test_an_older_one_that_comes_back_takes_the_place_of_a_younger_one() -> None:
    desk = Desk(hold_window=1)
    first, second = hold(desk, 2)
    (away,) = desk.turn()  # the second
    desk.beat("local", 1)
    assert placed(desk) == [first]
    (third,) = hold(desk, 1)
    desk.come_back(away, after=0.0)
    (youngest,) = desk.turn()
    assert third.encode() in youngest.body
    desk.beat("local", 2)
    assert placed(desk) == [second]


def test_a_new_request_does_not_overtake_one_of_its_kind_and_does_another_kind() -> None:
    desk = Desk()
    desk.beat("local", 1)
    (first,) = hold(desk, 1)
    assert placed(desk) == [first]
    (second,) = hold(desk, 1)
    desk.core.pools.left("local", first, desk.now)  # free, and nobody was told yet
    (third,) = hold(desk, 1)
    desk.beat("serverless", 5, models=["cats"])
    (other,) = hold(desk, 1, allow=["local"])
    assert placed(desk)[:1] == [second]
    assert desk.core.placer.held == 2, (third, other)


def test_a_small_one_waits_for_no_large_one_that_fits_nowhere() -> None:
    desk = Desk(d=1_000_000)
    desk.beat("local", 1, max_payload=1_000)
    hold(desk, 1, data=infer(50))
    (small,) = hold(desk, 1)
    assert placed(desk) == [small]


def test_the_youngest_large_ones_wait_in_the_broker_where_the_window_is_full_of_bytes() -> None:
    desk = Desk(hold_window=4)  # 1 MiB
    large = infer(2_000)
    assert 500_000 > len(json.dumps(large)) > 350_000
    first, second, third = hold(desk, 3, data=large)
    (small,) = hold(desk, 1)
    (away,) = desk.turn()
    assert (away.exchange, third.encode() in away.body) == (names.DELAYS, True)
    assert desk.core.placer.held == 3
    desk.core.placer.take_held(first)
    (fourth,) = hold(desk, 1, data=large)
    desk.come_back(away, after=0.0)  # it is older than the fourth, and takes its place
    (away,) = desk.turn()
    assert fourth.encode() in away.body
    desk.beat("gpu-container", 9)
    assert [identity for identity in placed(desk) if identity != small] == [second, third]


def test_many_in_the_broker_are_turned_over_more_slowly_and_none_beyond_its_deadline() -> None:
    desk = Desk(hold_window=1)
    hold(desk, 1_002)
    assert {publish.key for publish in desk.turn()} == {"1000", "5000"}
    hold(desk, 1, deadline=desk.now + 0.9)
    (short,) = desk.turn()
    assert short.key == "500"


def test_a_hold_ends_at_its_deadline_once_wherever_it_waited() -> None:
    desk = Desk(hold_window=1)
    inside, outside = hold(desk, 2, deadline=NOW + 5)
    (away,) = desk.turn()
    desk.now = NOW + 5.1
    desk.core.tick(desk.now)
    desk.come_back(away, after=0.0)
    ended = outcomes(desk.turn())
    assert sorted(outcome.request_id for outcome in ended) == sorted([inside, outside])
    assert {outcome.state for outcome in ended} == {"expired"}


def test_places_come_free_one_by_one_in_order() -> None:
    desk = Desk(hold_window=8)
    desk.beat("local", 1)
    ids = hold(desk, 6)
    order = placed(desk)
    while len(order) < 6:
        ticket = tickets(placements(desk.published)[-1])[-1]
        desk.done(ticket)
        order += placed(desk)
    assert order == ids
    assert all(a < b for a, b in pairwise(map(ids.index, order)))
