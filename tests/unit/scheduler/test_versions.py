"""The scheduler alone settles which version answers, and what is settled stays."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from scheduler.effects import Publish
from straightline import names
from straightline.contracts import Ticket
from straightline.contracts.deployed import Deployed, DeployedModel, DeployedVersion
from straightline.ids import new_id
from tests.unit.scheduler.desk import DIGITS, Desk, infer, outcomes, placements, tickets

REVISIONS = iter(range(1, 1000))


def deploy(desk: Desk, *versions: str, canary: str | None = None, share: float = 0.0) -> None:
    """Announce versions, the first of which is the default."""
    there = {
        each: DeployedVersion(spec=msgspec.structs.replace(DIGITS, version=each), digest="sha256:0")
        for each in versions
    }
    default = versions[0] if versions else None
    model = DeployedModel(versions=there, default=default, canary=canary, share=share)
    desk.core.deployed(Deployed(revision=next(REVISIONS), models={"digits": model}))


def placed(published: list[Publish]) -> list[Ticket]:
    return [ticket for publish in placements(published) for ticket in tickets(publish)]


def ready(*, informed: bool = True) -> Desk:
    desk = Desk()
    desk.beat_all(local=1000)
    desk.core.informed = lambda: informed
    return desk


def delayed(published: list[Publish]) -> list[Publish]:
    return [publish for publish in published if publish.exchange == names.DELAYS]


TOO_LARGE = infer(1, shape=[1, 65], data=[0] * 65)
"""Tensors that version 1 does not take."""


def test_a_version_that_is_deployed_can_be_placed_at_once_and_the_one_before_by_its_pin() -> None:
    desk = ready()
    deploy(desk, "2", "1")
    desk.request()
    desk.request(version="1")
    assert sorted(ticket.version or "" for ticket in placed(desk.turn())) == ["1", "2"]


def test_an_alias_moves_back() -> None:
    desk = ready()
    deploy(desk, "2", "1")
    deploy(desk, "1", "2")
    desk.request()
    assert [ticket.version for ticket in placed(desk.turn())] == ["1"]


def test_an_unknown_version_is_refused_and_those_there_are_named() -> None:
    desk = ready()
    deploy(desk, "2", "1")
    desk.request(version="7")
    (outcome,) = outcomes(desk.turn())
    assert (outcome.state, outcome.error_class) == ("rejected", "unknown_version")
    assert "it has 1, 2" in (outcome.error or "")


def test_a_removed_model_is_unknown() -> None:
    desk = ready()
    deploy(desk)
    desk.request()
    (outcome,) = outcomes(desk.turn())
    assert outcome.error_class == "unknown_model"


def test_a_canary_takes_its_share_of_those_that_pin_none() -> None:
    desk = ready()
    deploy(desk, "1", "2", canary="2", share=25)
    ids = [new_id() for _ in range(400)]
    for request_id in ids:
        desk.request(id=request_id)
    count = Counter(ticket.version for ticket in placed(desk.turn()))
    assert 60 < count["2"] < 140
    assert count["1"] == 400 - count["2"]
    for _ in range(20):
        desk.request(version="1")
    assert {ticket.version for ticket in placed(desk.turn())} == {"1"}


def test_a_request_that_comes_back_keeps_its_version_though_the_alias_has_moved() -> None:
    desk = ready()
    deploy(desk, "1", "2")
    desk.request()
    (ticket,) = placed(desk.turn())
    deploy(desk, "2", "1")
    desk.fail(ticket)
    (retry,) = delayed(desk.turn())
    desk.come_back(retry, after=1)
    assert [again.version for again in placed(desk.turn())] == ["1"]


def test_a_request_whose_version_was_removed_meanwhile_gets_the_default() -> None:
    desk = ready()
    deploy(desk, "1")
    desk.request()
    (ticket,) = placed(desk.turn())
    deploy(desk, "2")
    desk.fail(ticket)
    (retry,) = delayed(desk.turn())
    desk.come_back(retry, after=1)
    assert [again.version for again in placed(desk.turn())] == ["2"]


def test_a_version_is_placed_where_it_is_in_place_alone() -> None:
    desk = ready()
    only = DeployedVersion(
        spec=msgspec.structs.replace(DIGITS, version="2", backends=("serverless",)), digest="sha256:0"
    )
    model = DeployedModel(versions={"2": only}, default="2")
    desk.core.deployed(Deployed(revision=next(REVISIONS), models={"digits": model}))
    desk.request()
    assert [ticket.backend for ticket in placed(desk.turn())] == ["serverless"]


@pytest.mark.parametrize(
    "asked", [{"model": "unread"}, {"version": "2"}, {"data": TOO_LARGE}], ids=["model", "version", "tensors"]
)
def test_what_has_not_been_read_is_no_reason_to_reject(asked: dict[str, Any]) -> None:
    desk = ready(informed=False)
    request = desk.request(**asked)
    published = desk.turn()
    (waiting,) = delayed(published)
    assert (outcomes(published), placements(published)) == ([], [])
    assert request in desk.acked, "it waits in the broker, not here"
    desk.come_back(waiting, after=1)
    (still,) = delayed(desk.turn())
    desk.core.informed = lambda: True
    desk.come_back(still, after=1)
    (outcome,) = outcomes(desk.turn())
    assert outcome.state == "rejected"


def test_what_waited_for_word_of_its_model_is_placed_when_it_comes() -> None:
    desk = ready(informed=False)
    desk.request(version="2")
    (waiting,) = delayed(desk.turn())
    deploy(desk, "2", "1")
    desk.come_back(waiting, after=1)
    assert [ticket.version for ticket in placed(desk.turn())] == ["2"]


def test_its_tensors_are_checked_then() -> None:
    desk = ready(informed=False)
    desk.request(version="2", data=TOO_LARGE)
    (waiting,) = delayed(desk.turn())
    deploy(desk, "2")
    desk.core.informed = lambda: True
    desk.come_back(waiting, after=1)
    (outcome,) = outcomes(desk.turn())
    assert (outcome.state, outcome.attempts) == ("rejected", [])


def test_waiting_for_word_of_a_model_ends_with_the_deadline() -> None:
    desk = ready(informed=False)
    desk.request(model="unread", deadline=desk.now + 3)
    for _ in range(3):
        (waiting,) = delayed(desk.turn())
        desk.come_back(waiting, after=1)
    (outcome,) = outcomes(desk.turn())
    assert (outcome.state, outcome.error_class) == ("expired", "deadline")
    assert "there is no model unread" in (outcome.error or "")


def test_or_with_its_cancellation() -> None:
    desk = ready(informed=False)
    request_id = new_id()
    desk.request(model="unread", id=request_id)
    (waiting,) = delayed(desk.turn())
    desk.cancel(request_id)
    assert [outcome.state for outcome in outcomes(desk.turn())] == ["cancelled"]
    desk.come_back(waiting, after=1)
    assert desk.turn() == []


def test_a_failed_attempt_waits_for_word_of_its_model_too() -> None:
    first = ready()
    deploy(first, "2")
    first.request()
    (ticket,) = placed(first.turn())
    successor = ready(informed=False)
    successor.fail(ticket)
    published = successor.turn()
    assert outcomes(published) == []
    (waiting,) = delayed(published)
    deploy(successor, "2")
    successor.come_back(waiting, after=1)
    (again,) = placed(successor.turn())
    assert (again.version, len(again.attempts)) == ("2", 1)
