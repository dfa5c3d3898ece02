"""Attempts are recorded although the ledger is busy for a while."""

from contextlib import nullcontext
from typing import Any

import pytest

from gateway.webhooks import dispatcher
from gateway.webhooks.dispatcher import MAX_RECORD_ATTEMPTS, WebhookDispatcher
from outcomes.db.errors import LedgerUnavailable
from outcomes.queries.webhook_deliveries import DueDelivery
from outcomes.queries.webhooks import Webhook

HOOK = Webhook(id="w", key_id="k", url="https://hook.example/", secret="whsec_" + "A" * 32)
DUE = DueDelivery(id="d", webhook=HOOK, body=b"{}", failures=0)


class Ledger:
    """Has no connection free the first so many times, and notes what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, busy: int) -> None:
        self.asked, self.noted = 0, 0
        self._busy = busy
        self.sent: list[bytes] = []
        monkeypatch.setattr(dispatcher, "POLL_INTERVAL_S", 0.0)
        monkeypatch.setattr(dispatcher, "send", lambda _url, body, *_: self.sent.append(body))
        monkeypatch.setattr(dispatcher, "record_attempt", self._settle)

    def connection(self) -> Any:
        self.asked += 1
        if self.asked <= self._busy:
            raise LedgerUnavailable("all connections are in use")
        return nullcontext()

    def _settle(
        self, _connection: object, due: DueDelivery, *, again_in: float | None, error: str | None
    ) -> None:
        assert (due, again_in, error) == (DUE, None, None)
        self.noted += 1


@pytest.mark.parametrize("busy", range(MAX_RECORD_ATTEMPTS))
def test_a_delivery_is_recorded_once_a_connection_is_free(monkeypatch: pytest.MonkeyPatch, busy: int) -> None:
    ledger: Any = Ledger(monkeypatch, busy)
    WebhookDispatcher(ledger, frozenset())._deliver(DUE)
    assert (len(ledger.sent), ledger.noted, ledger.asked) == (1, 1, busy + 1)


def test_recording_is_given_up_after_a_few_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger: Any = Ledger(monkeypatch, 1000)
    with pytest.raises(LedgerUnavailable):
        WebhookDispatcher(ledger, frozenset())._deliver(DUE)
    assert (len(ledger.sent), ledger.noted, ledger.asked) == (1, 0, MAX_RECORD_ATTEMPTS)
