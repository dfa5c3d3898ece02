"""Questions where a request is, that are out; nobody waits for their answers for long."""

import logging
import threading
import time
from typing import Final

import msgspec

from gateway.http.requests.status_merge import final, further
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import StatusQuery, StatusReply
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import new_id

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S: Final = 0.3
"""Seconds that answers are waited for."""
BETTER_ANSWER_WAIT_S: Final = 0.1
"""Seconds that are left for a more advanced answer, once there is one."""
MAX_PENDING_QUERIES: Final = 64
"""Questions that may be out at once; who asks above that hears what the ledger knows."""

CROWDED: Final = "too many ask here at once"
SILENT: Final = "none that leads has answered"
UNHEARD: Final = "none listens"
AWAY: Final = "the broker is away, or takes nothing"
REFUSED: Final = "the broker takes no questions: run `python -m broker_config`"
"""Why there was no answer, for people."""


class PendingQuery:
    """One question: a thread waits for its answers, others tell them.

    Args:
        token: names it.
    """

    def __init__(self, token: str) -> None:
        self.token: Final = token
        self._changed = threading.Condition()
        self._heard: StatusReply | None = None
        self._why = SILENT
        self._until = time.monotonic() + ANSWER_TIMEOUT_S

    @property
    def over(self) -> bool:
        """Whether nobody is waited for any more."""
        return time.monotonic() >= self._until

    def hear(self, answer: StatusReply) -> None:
        """Take an answer."""
        with self._changed:
            self._heard = further(self._heard, answer)
            self._end(0.0 if final(self._heard) else BETTER_ANSWER_WAIT_S)

    @property
    def why_silent(self) -> str:
        """Why nobody has answered."""
        with self._changed:
            return self._why

    def give_up(self, why: str) -> None:
        """Nobody will answer any more; the first reason stands."""
        with self._changed:
            if not self.over:
                self._why = why
            self._end(0.0)

    def answer(self) -> StatusReply | None:
        """Wait, and return the most advanced answer; None where there was none."""
        with self._changed:
            while (left := self._until - time.monotonic()) > 0:
                self._changed.wait(left)
            return self._heard

    def _end(self, left: float) -> None:
        self._until = min(self._until, time.monotonic() + left)
        self._changed.notify_all()


class PendingQueries:
    """All that are out, by what names each. Thread-safe."""

    def __init__(self, max_queries: int = MAX_PENDING_QUERIES) -> None:
        self._max_queries = max_queries
        self._lock = threading.Lock()
        self._open: dict[str, PendingQuery] = {}

    def open(self) -> PendingQuery:
        """Begin one; where too many are out it is over already."""
        query = PendingQuery(new_id())
        with self._lock:
            if len(self._open) < self._max_queries:
                self._open[query.token] = query
                return query
        query.give_up(CROWDED)
        return query

    def close(self, query: PendingQuery) -> None:
        """Hear of it no more."""
        with self._lock:
            self._open.pop(query.token, None)

    def hear(self, token: str, body: bytes) -> bool:
        """Take an answer; returns whether there is such a question."""
        with self._lock:
            query = self._open.get(token)
        if query is None:
            return False
        try:
            query.hear(decode(body, StatusReply))
        except ContractError as error:
            log.warning("an answer where a request is cannot be read: %s", error)
        return True


def status_query_message(request_id: str, token: str, reply_to: str) -> Outgoing:
    """Return the question; it comes back at once where nobody listens."""
    question = StatusQuery(id=request_id, reply_to=reply_to, correlation_id=token)
    return Outgoing(
        exchange=names.QUESTIONS,
        routing_key=names.QUESTION_KEY,
        body=msgspec.json.encode(question),
        type=names.TYPE_QUESTION,
        persistent=False,
    )
