"""The scheduler alone chooses the version that answers, once for each request."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from scheduler.events import RegistryChanged
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Ticket
from straightline.contracts.deployed import Deployed, DeployedModel, DeployedVersion
from straightline.ids import new_id
from tests.unit.scheduler.harness import DIGITS, SchedulerHarness, infer, outcomes, placements, tickets

REVISIONS = iter(range(1, 1000))


def deploy(harness: SchedulerHarness, *versions: str, canary: str | None = None, share: float = 0.0) -> None:
    """Announce versions, the first of which is the default."""
    there = {
        each: DeployedVersion(spec=msgspec.structs.replace(DIGITS, version=each), digest="sha256:0")
        for each in versions
    }
    default = versions[0] if versions else None
    model = DeployedModel(versions=there, default=default, canary=canary, share=share)
    harness.feed(RegistryChanged(Deployed(revision=next(REVISIONS), models={"digits": model})))


def placed(published: list[Outgoing]) -> list[Ticket]:
    return [ticket for publish in placements(published) for ticket in tickets(publish)]


def ready(*, informed: bool = True) -> SchedulerHarness:
    harness = SchedulerHarness()
    harness.beat_all(local=1000)
    harness.registry_synced = informed
    return harness


def delayed(published: list[Outgoing]) -> list[Outgoing]:
    return [publish for publish in published if publish.exchange == names.DELAYS]


TOO_LARGE = infer(1, shape=[1, 65], data=[0] * 65)
"""Tensors that version 1 does not take."""


def test_a_version_that_is_deployed_can_be_placed_at_once_and_the_one_before_by_its_pin() -> None:
    harness = ready()
    deploy(harness, "2", "1")
    harness.request()
    harness.request(version="1")
    assert sorted(ticket.version or "" for ticket in placed(harness.turn())) == ["1", "2"]


def test_an_alias_moves_back() -> None:
    harness = ready()
    deploy(harness, "2", "1")
    deploy(harness, "1", "2")
    harness.request()
    assert [ticket.version for ticket in placed(harness.turn())] == ["1"]


def test_an_unknown_version_is_refused_and_those_there_are_named() -> None:
    harness = ready()
    deploy(harness, "2", "1")
    harness.request(version="7")
    (outcome,) = outcomes(harness.turn())
    assert (outcome.state, outcome.error_class) == ("rejected", "unknown_version")
    assert "it has 1, 2" in (outcome.error or "")


def test_a_removed_model_is_unknown() -> None:
    harness = ready()
    deploy(harness)
    harness.request()
    (outcome,) = outcomes(harness.turn())
    assert outcome.error_class == "unknown_model"


def test_a_canary_takes_its_share_of_those_that_pin_none() -> None:
    harness = ready()
    deploy(harness, "1", "2", canary="2", share=25)
    ids = [new_id() for _ in range(400)]
    for request_id in ids:
        harness.request(id=request_id)
    count = Counter(ticket.version for ticket in placed(harness.turn()))
    assert 60 < count["2"] < 140
    assert count["1"] == 400 - count["2"]
    for _ in range(20):
        harness.request(version="1")
    assert {ticket.version for ticket in placed(harness.turn())} == {"1"}


def test_a_request_that_comes_back_keeps_its_version_though_the_alias_has_moved() -> None:
    harness = ready()
    deploy(harness, "1", "2")
    harness.request()
    (ticket,) = placed(harness.turn())
    deploy(harness, "2", "1")
    harness.fail(ticket)
    (retry,) = delayed(harness.turn())
    harness.come_back(retry, after=1)
    assert [again.version for again in placed(harness.turn())] == ["1"]


def test_a_request_whose_version_was_removed_meanwhile_gets_the_default() -> None:
    harness = ready()
    deploy(harness, "1")
    harness.request()
    (ticket,) = placed(harness.turn())
    deploy(harness, "2")
    harness.fail(ticket)
    (retry,) = delayed(harness.turn())
    harness.come_back(retry, after=1)
    assert [again.version for again in placed(harness.turn())] == ["2"]


def test_a_version_is_placed_where_it_is_in_place_alone() -> None:
    harness = ready()
    only = DeployedVersion(
        spec=msgspec.structs.replace(DIGITS, version="2", backends=("serverless",)), digest="sha256:0"
    )
    model = DeployedModel(versions={"2": only}, default="2")
    harness.feed(RegistryChanged(Deployed(revision=next(REVISIONS), models={"digits": model})))
    harness.request()
    assert [ticket.backend for ticket in placed(harness.turn())] == ["serverless"]


@pytest.mark.parametrize(
    "asked", [{"model": "unread"}, {"version": "2"}, {"data": TOO_LARGE}], ids=["model", "version", "tensors"]
)
def test_an_unread_registry_is_no_reason_to_reject(asked: dict[str, Any]) -> None:
    harness = ready(informed=False)
    request = harness.request(**asked)
    published = harness.turn()
    (waiting,) = delayed(published)
    assert (outcomes(published), placements(published)) == ([], [])
    assert request in harness.acked, "it waits in the broker, not here"
    harness.come_back(waiting, after=1)
    (still,) = delayed(harness.turn())
    harness.registry_synced = True
    harness.come_back(still, after=1)
    (outcome,) = outcomes(harness.turn())
    assert outcome.state == "rejected"


def test_a_request_deferred_for_its_model_is_placed_once_the_model_is_known() -> None:
    harness = ready(informed=False)
    harness.request(version="2")
    (waiting,) = delayed(harness.turn())
    deploy(harness, "2", "1")
    harness.come_back(waiting, after=1)
    assert [ticket.version for ticket in placed(harness.turn())] == ["2"]


def test_its_tensors_are_checked_then() -> None:
    harness = ready(informed=False)
    harness.request(version="2", data=TOO_LARGE)
    (waiting,) = delayed(harness.turn())
    deploy(harness, "2")
    harness.registry_synced = True
    harness.come_back(waiting, after=1)
    (outcome,) = outcomes(harness.turn())
    assert (outcome.state, outcome.attempts) == ("rejected", [])


def test_waiting_for_word_of_a_model_ends_with_the_deadline() -> None:
    harness = ready(informed=False)
    harness.request(model="unread", deadline=harness.now + 3)
    for _ in range(3):
        (waiting,) = delayed(harness.turn())
        harness.come_back(waiting, after=1)
    (outcome,) = outcomes(harness.turn())
    assert (outcome.state, outcome.error_class) == ("expired", "deadline")
    assert "there is no model unread" in (outcome.error or "")


def test_or_with_its_cancellation() -> None:
    harness = ready(informed=False)
    request_id = new_id()
    harness.request(model="unread", id=request_id)
    (waiting,) = delayed(harness.turn())
    harness.cancel(request_id)
    assert [outcome.state for outcome in outcomes(harness.turn())] == ["cancelled"]
    harness.come_back(waiting, after=1)
    assert harness.turn() == []


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
