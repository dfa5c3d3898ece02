"""Other content under a known name is refused before it is sent; a ledger that is away refuses nothing."""

import dataclasses
import logging

import msgspec
import pytest

from gateway.http.rendering.problems import Refusal
from gateway.http.requests import idempotency
from gateway.http.requests.idempotency import Firsts
from gateway.shared.request_builder import Composed, compose
from outcomes.db.errors import LedgerBusy, LedgerUnavailable
from straightline.contracts.request import decode_request
from straightline.ids import new_id
from straightline.producer.content_digest import digest

DATA = msgspec.Raw(b'{"inputs": []}')


def _composed(request_id: str | None) -> Composed:
    members = {"model": "m", "data": DATA, "id": request_id}
    return compose(members, now=1.0, inline_limit=99, put=None, deadline=None, read=True)


def test_what_has_a_name_has_the_digest_that_the_scheduler_makes_of_it() -> None:
    named = _composed(new_id())
    assert named.digest == digest(decode_request(named.body))


def test_the_ledger_is_not_asked_for_what_nobody_named() -> None:
    asked: list[str] = []
    composed = _composed(None)
    assert composed.digest is None
    Firsts(asked.append).hold(composed)
    assert asked == []


def test_other_content_under_a_name_is_refused_and_the_same_is_not() -> None:
    composed = _composed(new_id())
    Firsts(lambda _: None).hold(composed)
    known = Firsts({composed.id: composed.digest}.get)
    known.hold(composed)
    with pytest.raises(Refusal, match="before for other content") as refused:
        known.hold(dataclasses.replace(composed, digest="another"))
    assert (refused.value.problem.status, refused.value.problem.error_class) == (409, "conflict")


def test_a_ledger_that_is_away_refuses_nothing_and_is_let_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def away(request_id: str) -> None:
        asked.append(request_id)
        raise LedgerUnavailable("away")

    held = Firsts(away)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            held.hold(_composed(new_id()))
    assert (len(asked), len(caplog.records)) == (1, 1)
    monkeypatch.setattr(idempotency, "AGAIN", 0.0)
    soon = Firsts(away)
    for _ in range(2):
        soon.hold(_composed(new_id()))
    assert len(asked) == 3


def test_a_moment_in_which_many_ask_lets_one_through_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    composed, busy = _composed(new_id()), [True, False]

    def asked(_: str) -> str | None:
        if busy.pop(0):
            raise LedgerBusy("asked much")
        return "another"

    held = Firsts(asked)
    held.hold(composed)
    with pytest.raises(Refusal):
        held.hold(composed)
    assert not caplog.records
