"""API keys: cached, refreshed, and used while the ledger is down."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from gateway.http.auth import KeyAuthenticator
from gateway.http.rendering.problems import ApiError
from outcomes.db.errors import LedgerUnavailable
from outcomes.queries.keys import Key, digest_of


def key(**fields: Any) -> Key:
    return Key(id="1", name="k", scopes=("read",), created_at=0.0, **fields)


def required(keys: KeyAuthenticator, text: str = "sl_x") -> Key:
    with Flask(__name__).test_request_context(headers={"Authorization": f"Bearer {text}"}):
        return keys.require("read")


def test_a_cached_key_is_valid_while_the_ledger_is_down() -> None:
    answers: list[Any] = [key(), LedgerUnavailable("away")]

    def find(digest: str) -> Key | None:
        assert digest == digest_of("sl_x")
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = KeyAuthenticator(find, ttl_s=0.0)
    assert required(keys) == required(keys) == key()
    answers.append(LedgerUnavailable("away"))
    with pytest.raises(ApiError) as caught:
        required(KeyAuthenticator(lambda _: find(digest_of("sl_x")), ttl_s=0.0), "sl_x")
    assert caught.value.problem.status == 503


def test_a_hanging_ledger_delays_one_request_of_a_cached_key() -> None:
    asked, over = threading.Event(), threading.Event()
    calls: list[str] = []

    def find(digest: str) -> Key | None:
        calls.append(digest)
        if len(calls) == 1:
            return key()
        asked.set()
        over.wait(20)
        raise LedgerUnavailable("it says nothing")

    keys = KeyAuthenticator(find, ttl_s=0.01)
    required(keys)
    time.sleep(0.02)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(required, keys)
        assert asked.wait(20)
        second = callers.submit(required, keys)
        try:
            assert second.result(5) == key()
        finally:
            over.set()
        assert first.result(20) == key()


def test_a_cached_key_is_not_looked_up_for_each_request_while_the_ledger_is_down() -> None:
    answers: list[Key | None] = [key()]

    def find(_digest: str) -> Key | None:
        if answers:
            return answers.pop()
        away.append(1)
        raise LedgerUnavailable("away")

    away: list[int] = []
    keys = KeyAuthenticator(find, ttl_s=30.0)
    required(keys)
    for digest, (_, known) in list(keys._known.items()):
        keys._known[digest] = (0.0, known)  # half a minute later
    for _ in range(3):
        assert required(keys) == key()
    assert len(away) == 1


@pytest.mark.parametrize("ended", [{"revoked_at": 1.0}, {"expires_at": 1.0}])
def test_a_revoked_or_expired_key_is_rejected(ended: dict[str, float]) -> None:
    with pytest.raises(ApiError, match="revoked or expired"):
        required(KeyAuthenticator(lambda _: key(**ended), ttl_s=1.0))
