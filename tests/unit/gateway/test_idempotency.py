"""Other content under a known id is rejected; an unavailable ledger rejects nothing."""

import dataclasses
import logging

import msgspec
import pytest

from gateway.http.rendering.problems import ApiError
from gateway.http.requests import idempotency
from gateway.http.requests.idempotency import IdempotencyGuard
from gateway.shared.request_builder import PreparedRequest, prepare_request
from outcomes.db.errors import LedgerBusy, LedgerUnavailable
from straightline.contracts.content_digest import digest
from straightline.contracts.request import decode_request
from straightline.ids import new_id

DATA = msgspec.Raw(b'{"inputs": []}')


def _composed(request_id: str | None) -> PreparedRequest:
    members = {"model": "m", "data": DATA, "id": request_id}
    return prepare_request(members, now=1.0, inline_limit=99, put=None, deadline=None, decoded=True)


def test_the_digest_equals_that_of_the_scheduler() -> None:
    named = _composed(new_id())
    assert named.digest == digest(decode_request(named.body))


def test_a_request_without_an_id_is_not_looked_up() -> None:
    asked: list[str] = []
    composed = _composed(None)
    assert composed.digest is None
    IdempotencyGuard(asked.append).check(composed)
    assert asked == []


def test_other_content_under_an_id_is_rejected() -> None:
    composed = _composed(new_id())
    IdempotencyGuard(lambda _: None).check(composed)
    known = IdempotencyGuard({composed.id: composed.digest}.get)
    known.check(composed)
    with pytest.raises(ApiError, match="already used for other content") as refused:
        known.check(dataclasses.replace(composed, digest="another"))
    assert (refused.value.problem.status, refused.value.problem.error_class) == (409, "conflict")


def test_requests_pass_while_the_ledger_is_down_without_further_look_ups(
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


def test_an_overloaded_ledger_lets_only_the_current_request_pass(caplog: pytest.LogCaptureFixture) -> None:
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
