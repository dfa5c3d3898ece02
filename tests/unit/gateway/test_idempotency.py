"""Other content under a known name is refused before it is sent; a ledger that is away refuses nothing."""

import dataclasses
import logging

import msgspec
import pytest

from gateway.http.rendering.problems import ApiError
from gateway.http.requests import idempotency
from gateway.http.requests.idempotency import IdempotencyGuard
from gateway.shared.request_builder import PreparedRequest, prepare_request
from outcomes.db.errors import LedgerBusy, LedgerUnavailable
from straightline.contracts.request import decode_request
from straightline.ids import new_id
from straightline.producer.content_digest import digest

DATA = msgspec.Raw(b'{"inputs": []}')


def _composed(request_id: str | None) -> PreparedRequest:
    members = {"model": "m", "data": DATA, "id": request_id}
    return prepare_request(members, now=1.0, inline_limit=99, put=None, deadline=None, decoded=True)


def test_what_has_a_name_has_the_digest_that_the_scheduler_makes_of_it() -> None:
    named = _composed(new_id())
    assert named.digest == digest(decode_request(named.body))


def test_the_ledger_is_not_asked_for_what_nobody_named() -> None:
    asked: list[str] = []
    composed = _composed(None)
    assert composed.digest is None
    IdempotencyGuard(asked.append).check(composed)
    assert asked == []


def test_other_content_under_a_name_is_refused_and_the_same_is_not() -> None:
    composed = _composed(new_id())
    IdempotencyGuard(lambda _: None).check(composed)
    known = IdempotencyGuard({composed.id: composed.digest}.get)
    known.check(composed)
    with pytest.raises(ApiError, match="already used for other content") as refused:
        known.check(dataclasses.replace(composed, digest="another"))
    assert (refused.value.problem.status, refused.value.problem.error_class) == (409, "conflict")


def test_a_ledger_that_is_away_refuses_nothing_and_is_let_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def away(request_id: str) -> None:
        asked.append(request_id)
        raise LedgerUnavailable("away")

    held = IdempotencyGuard(away)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            held.check(_composed(new_id()))
    assert (len(asked), len(caplog.records)) == (1, 1)
    monkeypatch.setattr(idempotency, "LEDGER_RETRY_INTERVAL_S", 0.0)
    soon = IdempotencyGuard(away)
    for _ in range(2):
        soon.check(_composed(new_id()))
    assert len(asked) == 3


def test_a_moment_in_which_many_ask_lets_one_through_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    composed, busy = _composed(new_id()), [True, False]

    def asked(_: str) -> str | None:
        if busy.pop(0):
            raise LedgerBusy("asked much")
        return "another"

    held = IdempotencyGuard(asked)
    held.check(composed)
    with pytest.raises(ApiError):
        held.check(composed)
    assert not caplog.records
