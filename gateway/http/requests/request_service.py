"""The use cases of one request: prepare, submit, wait for the outcome, load the result."""

import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from typing import Any, Final

from gateway.http.rendering.problems import RETRY_AFTER_S, ApiError
from gateway.http.requests.broker_client import BrokerClient, PendingOutcome, TooManyPending
from gateway.http.requests.idempotency import IdempotencyGuard
from gateway.http.requests.submission_log import SubmissionLog
from gateway.shared.request_builder import PreparedRequest, prepare_request
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.db.pool import LedgerPool
from outcomes.queries.outcomes import outcome_of
from outcomes.queries.submissions import Submission
from straightline.contracts import Outcome
from straightline.errors import ContractError
from straightline.producer.submission import DEFAULT_LIFETIME_S
from straightline.storage.store import Store

DEADLINE_GRACE_S: Final = 2.0
"""Time after a deadline in which its `expired` outcome may still arrive."""
MAX_SUBMISSION_TTL_S: Final = 2 * 86_400.0
"""Longest time that the ledger keeps the submission of an unfinished request, whatever its deadline."""
LEDGER_POLL_INTERVAL_S: Final = 1.0
"""Time between ledger look-ups once a pushed outcome may have been lost with its connection."""


def submission_expiry(prepared: PreparedRequest) -> float:
    """Return when the submission of a request may be purged, in seconds since the epoch."""
    now = prepared.submitted_at
    deadline = now + DEFAULT_LIFETIME_S[prepared.key] if prepared.deadline is None else prepared.deadline
    return min(deadline, now + MAX_SUBMISSION_TTL_S)


class RequestService:
    """Runs requests for the HTTP endpoints. Thread-safe.

    Args:
        broker: publishes requests and receives outcomes.
        ledger: recorded outcomes.
        submissions: makes accepted requests visible to other processes.
        store: of large bodies; None keeps data inline.
        idempotency: rejects an id that was used for other content.
        timeout_s: longest wait for a request without a deadline.
        inline_limit: size in bytes above which data goes to the store.
    """

    def __init__(
        self,
        *,
        broker: BrokerClient,
        ledger: LedgerPool,
        submissions: SubmissionLog,
        store: Store | None,
        idempotency: IdempotencyGuard,
        timeout_s: float,
        inline_limit: int,
    ) -> None:
        self._broker = broker
        self._ledger = ledger
        self._submissions = submissions
        self._store = store
        self._idempotency = idempotency
        self._timeout_s = timeout_s
        self._inline_limit = inline_limit

    def prepare(
        self, members: Mapping[str, Any], *, now: float, deadline: float | None = None, decoded: bool = False
    ) -> PreparedRequest:
        """Build the request that `members` describe, with large data in the store.

        The arguments and errors are those of `prepare_request`.
        """
        put = None if self._store is None else self._store.put
        return prepare_request(
            members, now=now, inline_limit=self._inline_limit, put=put, deadline=deadline, decoded=decoded
        )

    def submit(
        self, prepared: PreparedRequest, headers: dict[str, str], *, webhook: str | None = None
    ) -> None:
        """Publish a request without waiting for its outcome.

        Args:
            prepared: the request.
            headers: trace context.
            webhook: id of the webhook to notify of the outcome.

        Raises:
            ApiError: its id was used for other content.
            BrokerUnavailable, Rejected, Unroutable: the broker did not take it.
        """
        self._idempotency.check(prepared)
        self._broker.submit(prepared.id, prepared.body, key=prepared.key, headers=headers, webhook=webhook)
        self._record(prepared)

    def submit_and_wait(
        self, prepared: PreparedRequest, headers: dict[str, str], *, wait: float | None
    ) -> Outcome | None:
        """Publish a request and wait for its outcome.

        Args:
            prepared: the request.
            headers: trace context.
            wait: seconds; None waits until the deadline.

        Returns:
            The outcome with its result loaded; None if it did not arrive within `wait` seconds.

        Raises:
            ApiError: its id was used for other content, too many requests are waiting, or the deadline passed
                without an outcome.
            BrokerUnavailable, Rejected, Unroutable: the broker did not take it.
        """
        if wait == 0:
            self.submit(prepared, headers)
            return None
        self._idempotency.check(prepared)
        since, losses = time.time(), self._broker.connection_losses
        pending = self._publish(prepared, headers)
        left = self._timeout_s
        if prepared.deadline is not None:
            left = max(0.0, prepared.deadline - time.time())
        left += DEADLINE_GRACE_S
        try:
            outcome = self._wait(
                prepared.id, pending.outcome, left if wait is None else min(wait, left), since, losses
            )
            if outcome is None and wait is not None and wait < left:
                pending.sent.result()  # 202 promises that the broker has the request
                self._record(prepared)
                return None
        finally:
            self._broker.discard(pending)
        if outcome is None:
            raise ApiError(504, "deadline", "no outcome arrived before the deadline", request_id=prepared.id)
        return self.load_result(outcome)

    def load_result(self, outcome: Outcome) -> Outcome:
        """Fill in a result that is in the store.

        Raises:
            ApiError: the gateway has no store, or the result is past its retention.
            ContractError, StoreUnavailable: it cannot be read.
        """
        if outcome.result_ref is None:
            return outcome
        if self._store is None:
            raise ApiError(
                500,
                "no_store",
                f"the result is at {outcome.result_ref.uri}: set STRAIGHTLINE_STORE of the gateway",
            )
        try:
            outcome.result = type(outcome.result)(self._store.get(outcome.result_ref))
        except ContractError as error:
            if error.error_class != "missing_data":
                raise
            text = "the result is past its retention: submit the request again with another id"
            raise ApiError(410, "result_gone", text, request_id=outcome.request_id) from error
        return outcome

    def _publish(self, prepared: PreparedRequest, headers: dict[str, str]) -> PendingOutcome:
        try:
            pending = self._broker.submit_for_outcome(
                prepared.id, prepared.body, key=prepared.key, headers=headers
            )
        except TooManyPending as error:
            raise ApiError(503, "saturated", str(error), retry_after=RETRY_AFTER_S) from error
        if prepared.digest is not None:
            pending.sent.add_done_callback(partial(self._record_sent, prepared))
        return pending

    def _record(self, prepared: PreparedRequest, *, wait: bool = True) -> None:
        self._submissions.add(
            Submission(
                id=prepared.id,
                model=prepared.model,
                submitted_at=prepared.submitted_at,
                deadline=prepared.deadline,
                until=submission_expiry(prepared),
                digest=prepared.digest,
            ),
            wait=wait,
        )

    def _record_sent(self, prepared: PreparedRequest, sent: Future[None]) -> None:
        """Record the digest, so that other content under this id is rejected while the request runs."""
        if sent.exception() is None:
            self._record(prepared, wait=False)

    def _wait(
        self, request_id: str, outcome: Future[Outcome], seconds: float, since: float, losses: int
    ) -> Outcome | None:
        """Wait for a pushed outcome; poll the ledger once the connection that brings it was lost."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            try:
                return outcome.result(max(0.0, min(left, LEDGER_POLL_INTERVAL_S)))
            except NotYet:
                lost = self._broker.connection_losses != losses
                found = self._recorded(request_id, since) if lost else None
                if found is not None:
                    return found
                if left <= LEDGER_POLL_INTERVAL_S:
                    return None

    def _recorded(self, request_id: str, since: float) -> Outcome | None:
        """Return the recorded outcome of a request that ended after `since`, if the ledger answers."""
        try:
            with self._ledger.connection() as connection:
                outcome = outcome_of(connection, request_id)
        except (LedgerUnavailable, LedgerNotMigrated):
            return None
        # An earlier outcome may be of other content under the same id: only the scheduler decides that.
        return outcome if outcome is not None and outcome.finished_at >= since else None
