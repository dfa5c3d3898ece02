"""Finding out whose request a dead letter held, and what is to become of it. Pure: time is an argument.

Nothing here may depend on a message being what it should be: the dead letters are where the others end up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from outcomes.messaging.messages import QUEUE_HEADER, REASON_HEADER
from outcomes.resolutions.synthetic_outcomes import (
    DEAD_LETTER,
    DELIVERY_LIMIT,
    MALFORMED,
    UNRECORDABLE,
    Resolution,
    of_id,
    of_request,
    of_ticket,
)
from outcomes.rows.decoding import Delivery
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import FailedAttempts, Outcome, ReplyAddress, Request, Ticket, decode_request
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import find_id
from straightline.errors import ContractError
from straightline.ids import canonical, new_id
from straightline.names import BACKENDS, Backend

RESEND_COUNT_HEADER: Final = "x-straightline-again"
"""Of what is sent to the recorder again: how often it was. Without it a message that no recorder survives
would go round for ever."""
MAX_RESENDS: Final = 2
MAX_DETAIL_CHARS: Final = 1024
"""Characters of a reason that are kept."""

_POOLS: Final[dict[str, Backend]] = {names.backend_queue(backend): backend for backend in BACKENDS}
_TO_LEDGER: Final = {
    names.TYPE_OUTCOMES: "outcome",
    names.TYPE_RECALL: "recall",
    names.TYPE_LEASES: "placement",
}


class DeadLetterCause(msgspec.Struct, frozen=True):
    """How a message died.

    Attributes:
        queue: where; None where nothing says so.
        reason: `rejected`, `delivery_limit`, `maxlen`, ... as the broker calls it; `refused` where one of our
            processes put it to the dead letters with a sentence.
        said: that sentence.
    """

    queue: str | None
    reason: str
    said: str | None = None


class DeadLetterActions(msgspec.Struct, frozen=True):
    """What a dead letter held.

    Attributes:
        outcomes: of the requests in it, each with where its producer waits.
        again: messages for the recorder that it shall get once more, one for each thing in them.
    """

    outcomes: list[tuple[Outcome, ReplyAddress | None]] = []
    again: list[Outgoing] = []


def cause_of(headers: Mapping[str, Any] | None) -> DeadLetterCause:
    """Read how a message died from its headers."""
    headers = headers or {}
    deaths = headers.get("x-death")  # the broker's own, the last one first
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        queue, reason = _text(deaths[0].get("queue")), _text(deaths[0].get("reason"))
        return DeadLetterCause(queue, reason or "unknown")
    return DeadLetterCause(_text(headers.get(QUEUE_HEADER)), "refused", _text(headers.get(REASON_HEADER)))


def analyze(delivery: Delivery, death: DeadLetterCause, now: float) -> DeadLetterActions:
    """Say what to do about a dead letter; where nothing can be done the finding is empty.

    Args:
        delivery: the dead letter, with its properties.
        death: as its headers tell.
        now: seconds since the epoch.
    """
    if death.queue == names.OUTCOMES_QUEUE:
        return _for_the_recorder(delivery, death, now)
    look = _LOOKS.get(death.queue or "")
    return (
        DeadLetterActions() if look is None else DeadLetterActions(outcomes=list(look(delivery, death, now)))
    )


Look = Callable[[Delivery, DeadLetterCause, float], Iterator[tuple[Outcome, ReplyAddress | None]]]


def _request(
    delivery: Delivery, death: DeadLetterCause, now: float
) -> Iterator[tuple[Outcome, ReplyAddress | None]]:
    message_id = _text(delivery.properties.message_id)
    verdict = _verdict(death)
    try:
        outcome = of_request(decode_request(delivery.body, message_id=message_id), verdict, now)
    except ContractError as error:
        if error.request_id is None:
            return
        outcome = of_id(error.request_id, verdict, now)
    to = _text(delivery.properties.reply_to)
    correlation_id = _text(delivery.properties.correlation_id) or outcome.request_id
    yield outcome, ReplyAddress(to=to, correlation_id=correlation_id) if to else None


def _celery_task(
    delivery: Delivery, death: DeadLetterCause, now: float
) -> Iterator[tuple[Outcome, ReplyAddress | None]]:
    headers = delivery.properties.headers or {}
    request_id = canonical(_text(headers.get("id")) or "")
    if request_id is not None:
        to = _text(delivery.properties.reply_to)  # the door's form of a caller's address
        reply = ReplyAddress(to=names.CELERY_REPLY_KEY, correlation_id=to) if to else None
        yield of_id(request_id, _verdict(death), now), reply


def _ticket(
    delivery: Delivery, death: DeadLetterCause, now: float
) -> Iterator[tuple[Outcome, ReplyAddress | None]]:
    if delivery.type != names.TYPE_RECALL:  # that request has an outcome, or gets one
        yield from _of_ticket(delivery.body, death, now)


def _attempts(
    delivery: Delivery, death: DeadLetterCause, now: float
) -> Iterator[tuple[Outcome, ReplyAddress | None]]:
    try:
        failed = decode(delivery.body, FailedAttempts).failed
    except ContractError:
        # One item alone is what the scheduler puts aside.
        for item in _list(_member(delivery.body, "failed")) or [delivery.body]:
            yield from _of_ticket(_member(item, "ticket"), death, now)
        return
    for each in failed:
        each.ticket.attempts.append(each.attempt)
        yield from _of_ticket(msgspec.json.encode(each.ticket), death, now)


def _placement(
    delivery: Delivery, death: DeadLetterCause, now: float
) -> Iterator[tuple[Outcome, ReplyAddress | None]]:
    # The body is [[tickets], {}, {...}]; who refused it may have done so for any part of it.
    arguments = _list(next(iter(_list(delivery.body)), b""))
    for item in _list(arguments[0]) if arguments else ():
        yield from _of_ticket(item, death, now, backend=_POOLS[death.queue or ""])


def _of_ticket(
    body: bytes, death: DeadLetterCause, now: float, *, backend: Backend | None = None
) -> Iterator[tuple[Outcome, ReplyAddress | None]]:
    verdict = _verdict(death)
    try:
        ticket = decode(body, Ticket)
        yield of_ticket(ticket, _request_of(ticket), verdict, now, backend=backend), ticket.reply
    except ContractError:
        request_id = find_id(_member(body, "request"), None)
        if request_id is not None:
            outcome = of_id(request_id, verdict, now)
            outcome.backend = backend
            yield outcome, _reply(_member(body, "reply"))


def _request_of(ticket: Ticket) -> Request:
    return decode_request(bytes(ticket.request))


_LOOKS: Final[dict[str, Look]] = {
    **dict.fromkeys(names.REQUEST_QUEUES, _request),
    names.CELERY_QUEUE: _celery_task,
    names.RETURNS_QUEUE: _ticket,
    names.ATTEMPTS_QUEUE: _attempts,
    **dict.fromkeys(_POOLS, _placement),
}
"""By the queue that a message died in: how to look for requests."""


def _for_the_recorder(delivery: Delivery, death: DeadLetterCause, now: float) -> DeadLetterActions:
    """Send it again, part by part, while it may not be to blame; then tell the outcome as far as we can."""
    times = (delivery.properties.headers or {}).get(RESEND_COUNT_HEADER)
    times = times if isinstance(times, int) else 0
    key = _TO_LEDGER.get(delivery.type or "")
    parts = _outcomes_in(delivery)
    if death.reason not in {"rejected", "refused"} and times < MAX_RESENDS and key is not None:
        whole = [b'{"outcomes":[' + part + b"]}" for part in parts] if key == "outcome" else [delivery.body]
        return DeadLetterActions(again=[_again(delivery, key, body, times + 1) for body in whole])
    verdict = Resolution("failed", UNRECORDABLE, f"its outcome cannot be recorded: {_words(death)}")
    return DeadLetterActions(
        outcomes=[(outcome, None) for part in parts for outcome in _in_short(part, verdict, now)]
    )


def _outcomes_in(delivery: Delivery) -> Sequence[bytes]:
    if delivery.type == names.TYPE_OUTCOME:  # one that the recorder could not write
        return [delivery.body]
    return _list(_member(delivery.body, "outcomes")) if delivery.type == names.TYPE_OUTCOMES else []


def _in_short(body: bytes, verdict: Resolution, now: float) -> Iterator[Outcome]:
    request_id = canonical(_word(_member(body, "request_id")) or "")
    if request_id is None or _word(_member(body, "error_class")) == UNRECORDABLE:
        return  # there is nothing shorter to be said
    yield of_id(request_id, verdict, now)


def _again(delivery: Delivery, key: str, body: bytes, times: int) -> Outgoing:
    return Outgoing(
        exchange=names.OUTCOMES,
        routing_key=key,
        body=body,
        type=delivery.type,
        message_id=new_id(),
        headers={RESEND_COUNT_HEADER: times},
    )


def _verdict(death: DeadLetterCause) -> Resolution:
    if death.reason == DELIVERY_LIMIT:
        return Resolution("failed", DELIVERY_LIMIT, f"nobody could finish it: {_words(death)}")
    if death.reason == "rejected":
        return Resolution("rejected", MALFORMED, f"it cannot be worked on: {_words(death)}")
    return Resolution("failed", DEAD_LETTER, f"it could not be worked on: {_words(death)}")


def _words(death: DeadLetterCause) -> str:
    if death.said is not None:
        return death.said[:MAX_DETAIL_CHARS]
    if death.reason == DELIVERY_LIMIT:
        return f"its message in {death.queue} was given back until the broker's delivery limit was reached"
    return f"its message in {death.queue} went to the dead letters ({death.reason})"


def _member(body: bytes, name: str) -> bytes:
    """Return a member of a JSON object as it stands; empty where there is none."""
    try:
        return bytes(decode(body, dict[str, msgspec.Raw]).get(name, b""))
    except ContractError:
        return b""


def _list(body: bytes) -> list[bytes]:
    """Return the items of a JSON array as they stand; none where it is no array."""
    try:
        return [bytes(item) for item in decode(body, list[msgspec.Raw])]
    except ContractError:
        return []


def _word(body: bytes) -> str | None:
    try:
        return decode(body, str)
    except ContractError:
        return None


def _reply(body: bytes) -> ReplyAddress | None:
    try:
        return decode(body, ReplyAddress) if body else None
    except ContractError:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
