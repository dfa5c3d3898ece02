"""What the endpoints share: made once where the process starts."""

import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.http.auth import Keys
from gateway.http.rendering.problems import SOON, Refusal
from gateway.http.requests.broker_client import Exchange, Full
from gateway.http.requests.idempotency import Firsts
from gateway.http.requests.models import Models
from gateway.http.requests.recent_requests import Recent
from gateway.http.requests.submission_log import Notes
from gateway.http.requests.worker_directory import Hosts
from gateway.http.settings import Settings
from gateway.shared.request_builder import Composed, Put
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.db.pool import LedgerPool
from outcomes.queries.outcomes import outcome_of
from outcomes.queries.submissions import Submission
from straightline.contracts import Outcome
from straightline.errors import BrokerUnavailable, ContractError, Rejected, Unroutable
from straightline.producer.submission import LIFETIME
from straightline.storage.store import Store

GRACE: Final = 2.0
"""Seconds behind a deadline in which its `expired` outcome may still come."""
LONGEST_TOLD: Final = 2 * 86_400.0
"""Seconds after which a request that has not ended is told of by who took it alone, whatever its deadline."""
LOOK: Final = 1.0
"""Seconds between looks into the ledger, where an outcome may have been lost on its way here."""


def ended_by(composed: Composed) -> float:
    """Return until when a note of a request is of use; seconds since the epoch."""
    now = composed.submitted_at
    deadline = now + LIFETIME[composed.key] if composed.deadline is None else composed.deadline
    return min(deadline, now + LONGEST_TOLD)


@dataclass(frozen=True)
class Parts:
    """The gateway's connections and knowledge.

    Attributes:
        settings: as read at the start.
        exchange: the broker.
        reader: the ledger.
        searcher: likewise, for what reads much; few at once, and nobody waits for long.
        keys: who may call.
        models: what is deployed.
        hosts: what answers, host by host.
        recent: what was taken here and may not have ended.
        notes: tells the other processes of it, by the ledger.
        store: of large bodies.
        firsts: what the names that callers gave stand for.
    """

    settings: Settings
    exchange: Exchange
    reader: LedgerPool
    searcher: LedgerPool
    keys: Keys
    models: Models
    hosts: Hosts
    recent: Recent
    notes: Notes
    store: Store | None
    firsts: Firsts

    @property
    def put(self) -> Put | None:
        """How large data is stored."""
        return self.store.put if self.store is not None else None

    def submit(self, composed: Composed, headers: dict[str, str], *, webhook: str | None = None) -> None:
        """Publish a request that nobody waits for here; a webhook may be told of its end.

        Raises:
            Refusal: its name was used for something else.
            BrokerUnavailable, Rejected, Unroutable: it is not submitted.
        """
        self.firsts.hold(composed)
        self.exchange.submit(composed.id, composed.body, key=composed.key, headers=headers, webhook=webhook)
        self.taken(composed)

    def taken(self, composed: Composed) -> None:
        """Note that a request was taken whose outcome nobody waits for here, so that any process can tell."""
        self.recent.add(composed)
        self._note(composed)

    def _note(self, composed: Composed, *, wait: bool = True) -> None:
        self.notes.add(
            Submission(
                id=composed.id,
                model=composed.model,
                submitted_at=composed.submitted_at,
                deadline=composed.deadline,
                until=ended_by(composed),
                digest=composed.digest,
            ),
            wait=wait,
        )

    def answer(self, composed: Composed, headers: dict[str, str], *, wait: float | None) -> Outcome | None:
        """Publish a request and wait for its outcome.

        Args:
            composed: the request.
            headers: trace context.
            wait: seconds; None waits until its deadline.

        Returns:
            The outcome; None where it has not come in `wait` seconds.

        Raises:
            Refusal: its name was used for something else, too many wait here already, or the deadline has
                passed without a word.
            BrokerUnavailable, Rejected, Unroutable: it is not submitted.
        """
        if wait == 0:
            self.submit(composed, headers)
            return None
        self.firsts.hold(composed)
        asked_at, losses = time.time(), self.exchange.losses
        try:
            asked = self.exchange.ask(composed.id, composed.body, key=composed.key, headers=headers)
        except Full as error:
            raise Refusal(503, "saturated", str(error), retry_after=SOON) from error
        self.recent.add(composed)
        if composed.digest is not None:
            asked.sent.add_done_callback(partial(self._named, composed))
        left = self.settings.gateway_timeout
        if composed.deadline is not None:
            left = max(0.0, composed.deadline - time.time())
        patience = left + GRACE if wait is None else min(wait, left + GRACE)
        try:
            outcome = self._wait(composed.id, asked.outcome, patience, since=asked_at, losses=losses)
            if outcome is None and wait is not None and wait < left + GRACE:
                asked.sent.result()  # who is told that it was taken may forget it
                self.taken(composed)
                return None
        except (BrokerUnavailable, Rejected, Unroutable):
            self.recent.drop(composed.id)
            raise
        finally:
            self.exchange.forget(asked)
        if outcome is None:
            raise Refusal(504, "deadline", "no outcome came before the deadline", request_id=composed.id)
        self.recent.drop(composed.id)
        return self.fetched(outcome)

    def _named(self, composed: Composed, sent: Future[None]) -> None:
        """Have other content under the name of what was sent told from it while it runs."""
        if sent.exception() is None:
            self._note(composed, wait=False)

    def _wait(
        self, request_id: str, coming: Future[Outcome], seconds: float, *, since: float, losses: int
    ) -> Outcome | None:
        """Wait for an outcome: pushed, or from the ledger once the connection that brings it was lost.

        Returns:
            It; None where it has not come in `seconds`.
        """
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            try:
                return coming.result(max(0.0, min(left, LOOK)))
            except NotYet:
                found = self._recorded(request_id, since) if self.exchange.losses != losses else None
                if found is not None:
                    return found
                if left <= LOOK:
                    return None

    def _recorded(self, request_id: str, since: float) -> Outcome | None:
        """Return what the ledger has of a request that ended after `since`, if it can be asked."""
        try:
            with self.reader.connection() as connection:
                outcome = outcome_of(connection, request_id)
        except (LedgerUnavailable, LedgerNotMigrated):
            return None
        # What ended before may be of other content under the same id: only the system's answer tells.
        return outcome if outcome is not None and outcome.finished_at >= since else None

    def fetched(self, outcome: Outcome) -> Outcome:
        """Bring a result that lies in the store.

        Raises:
            Refusal: there is no store here, or it lies there no more.
            ContractError, StoreUnavailable: it cannot be read.
        """
        if outcome.result_ref is None:
            return outcome
        if self.store is None:
            raise Refusal(
                500, "no_store", f"the result lies at {outcome.result_ref.uri}: set STRAIGHTLINE_STORE here"
            )
        try:
            outcome.result = type(outcome.result)(self.store.get(outcome.result_ref))
        except ContractError as error:
            if error.error_class != "missing_data":
                raise
            text = "the result is in the store no more, past its retention: ask again under another id"
            raise Refusal(410, "result_gone", text, request_id=outcome.request_id) from error
        return outcome
