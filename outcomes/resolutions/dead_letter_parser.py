"""Finds the requests of a dead letter and decides how each one ends.

Nothing here trusts a message to be valid: invalid ones are what the dead-letter queue is for.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from outcomes.messaging.delivery import Delivery
from outcomes.resolutions.dead_letter_cause import DeadLetterCause, resolution_for
from outcomes.resolutions.raw_json import items, member, nonempty_text
from outcomes.resolutions.recorder_dead_letters import messages_to_resend, unrecordable_outcomes
from outcomes.resolutions.synthetic_outcomes import of_id, of_request, of_ticket
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import FailedAttempts, Outcome, ReplyAddress, Ticket, decode_request
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import find_id
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.names import BACKENDS, Backend

_POOLS: Final[dict[str, Backend]] = {names.backend_queue(backend): backend for backend in BACKENDS}

Resolved = tuple[Outcome, ReplyAddress | None]
"""An outcome, and the address that its producer waits at."""


class DeadLetterActions(msgspec.Struct, frozen=True):
    """Actions for a dead letter; empty if it holds no known request.

    Attributes:
        outcomes: of the requests in it, each with its producer's reply address.
        resend: messages to publish to the recorder once more.
    """

    outcomes: list[Resolved] = []
    resend: list[Outgoing] = []


def analyze(delivery: Delivery, cause: DeadLetterCause, now: float) -> DeadLetterActions:
    """Decide what to do about a dead letter.

    Args:
        delivery: the dead letter, with its properties.
        cause: why it died.
        now: Unix seconds.
    """
    if cause.queue == names.OUTCOMES_QUEUE:
        if resend := messages_to_resend(delivery, cause):
            return DeadLetterActions(resend=resend)
        unrecordable = unrecordable_outcomes(delivery, cause, now)
        return DeadLetterActions(outcomes=[(outcome, None) for outcome in unrecordable])
    parse = _PARSERS.get(cause.queue or "")
    return DeadLetterActions() if parse is None else DeadLetterActions([*parse(delivery, cause, now)])


Parser = Callable[[Delivery, DeadLetterCause, float], Iterator[Resolved]]


def _request(delivery: Delivery, cause: DeadLetterCause, now: float) -> Iterator[Resolved]:
    message_id = nonempty_text(delivery.properties.message_id)
    resolution = resolution_for(cause)
    try:
        outcome = of_request(decode_request(delivery.body, message_id=message_id), resolution, now)
    except ContractError as error:
        if error.request_id is None:
            return
        outcome = of_id(error.request_id, resolution, now)
    to = nonempty_text(delivery.properties.reply_to)
    correlation_id = nonempty_text(delivery.properties.correlation_id) or outcome.request_id
    yield outcome, ReplyAddress(to=to, correlation_id=correlation_id) if to else None


def _celery_task(delivery: Delivery, cause: DeadLetterCause, now: float) -> Iterator[Resolved]:
    headers = delivery.properties.headers or {}
    request_id = canonical(nonempty_text(headers.get("id")) or "")
    if request_id is not None:
        to = nonempty_text(delivery.properties.reply_to)  # the Celery adapter's form of an address
        reply = ReplyAddress(to=names.CELERY_REPLY_KEY, correlation_id=to) if to else None
        yield of_id(request_id, resolution_for(cause), now), reply


def _ticket(delivery: Delivery, cause: DeadLetterCause, now: float) -> Iterator[Resolved]:
    if delivery.type != names.TYPE_RECALL:  # a recalled request has an outcome, or gets one
        yield from _of_ticket(delivery.body, cause, now)


def _failed_attempts(delivery: Delivery, cause: DeadLetterCause, now: float) -> Iterator[Resolved]:
    try:
        failed = decode(delivery.body, FailedAttempts).failed
    except ContractError:
        # The scheduler dead-letters a single item without its envelope.
        for item in items(member(delivery.body, "failed")) or [delivery.body]:
            yield from _of_ticket(member(item, "ticket"), cause, now)
        return
    for each in failed:
        each.ticket.attempts.append(each.attempt)
        yield from _of_ticket(msgspec.json.encode(each.ticket), cause, now)


def _placement(delivery: Delivery, cause: DeadLetterCause, now: float) -> Iterator[Resolved]:
    # A Celery task's body, [[tickets], {}, {...}], of which any part may be invalid.
    arguments = items(next(iter(items(delivery.body)), b""))
    for item in items(arguments[0]) if arguments else ():
        yield from _of_ticket(item, cause, now, backend=_POOLS[cause.queue or ""])


def _of_ticket(
    body: bytes, cause: DeadLetterCause, now: float, *, backend: Backend | None = None
) -> Iterator[Resolved]:
    resolution = resolution_for(cause)
    try:
        ticket = decode(body, Ticket)
        request = decode_request(bytes(ticket.request))
        yield of_ticket(ticket, request, resolution, now, backend=backend), ticket.reply
    except ContractError:
        request_id = find_id(member(body, "request"), None)
        if request_id is not None:
            outcome = of_id(request_id, resolution, now)
            outcome.backend = backend
            yield outcome, _reply_address(member(body, "reply"))


def _reply_address(body: bytes) -> ReplyAddress | None:
    try:
        return decode(body, ReplyAddress) if body else None
    except ContractError:
        return None


_PARSERS: Final[dict[str, Parser]] = {
    **dict.fromkeys(names.REQUEST_QUEUES, _request),
    names.CELERY_QUEUE: _celery_task,
    names.RETURNS_QUEUE: _ticket,
    names.ATTEMPTS_QUEUE: _failed_attempts,
    **dict.fromkeys(_POOLS, _placement),
}
"""Parsers, by the queue in which a message died."""
