"""Messages of the outcomes queue as what is to be recorded; pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from outcomes.db.errors import LedgerRefused
from outcomes.rows import sanitize
from outcomes.rows.row_mapping import Entry, entry_of
from straightline.contracts import Lease, LeaseBatch, Outcome, OutcomeBatch, Recall
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.names import TYPE_LEASES, TYPE_OUTCOME, TYPE_OUTCOMES, TYPE_RECALL


class Delivery(msgspec.Struct, frozen=True):
    """A message as the broker delivered it.

    Attributes:
        epoch: which connection it came on; its tag means nothing on another.
        tag: what it is acknowledged by.
        type: the AMQP property.
        body: its bytes.
        properties: pika's form of all AMQP properties.
    """

    epoch: int
    tag: int
    type: str | None
    body: bytes
    properties: Any = None


class PoisonItem(msgspec.Struct, frozen=True):
    """One thing that can never be recorded.

    Attributes:
        body: its JSON.
        reason: why.
        type: as the AMQP property of a message that has nothing else in it.
    """

    body: bytes
    reason: str
    type: str = TYPE_OUTCOME


class DecodedBatch(msgspec.Struct, frozen=True):
    """What a run of deliveries says.

    Attributes:
        entries: outcomes, in the order in which they came.
        recalls: repeated ids, likewise.
        leases: what was placed.
        poison: single outcomes and leases that can never be recorded, out of messages that otherwise can.
        refused: whole messages that say nothing, each with the reason.
    """

    entries: list[Entry] = []
    recalls: list[Recall] = []
    leases: list[Lease] = []
    poison: list[PoisonItem] = []
    refused: list[tuple[Delivery, str]] = []


class _LooseBatch(msgspec.Struct):
    outcomes: list[msgspec.Raw]


def decode_deliveries(deliveries: Iterable[Delivery], now: float) -> DecodedBatch:
    """Read messages; each fault costs only the outcome, the lease, or the message that it is in.

    Args:
        deliveries: in the order in which they came.
        now: seconds since the epoch, for times that are none.
    """
    found = DecodedBatch([], [], [], [], [])
    for delivery in deliveries:
        try:
            if delivery.type == TYPE_OUTCOMES:
                _read_batch(delivery.body, now, found)
            elif delivery.type == TYPE_RECALL:
                found.recalls.append(_read_recall(delivery.body, now))
            elif delivery.type == TYPE_LEASES:
                _read_leases(delivery.body, found)
            else:
                found.refused.append((delivery, f"its type {delivery.type!r} is not one of an outcome"))
        except ContractError as error:
            found.refused.append((delivery, f"it cannot be read: {error}"))
        except LedgerRefused as error:
            found.refused.append((delivery, str(error)))
    return found


def _read_batch(body: bytes, now: float, found: DecodedBatch) -> None:
    try:
        outcomes = decode(body, OutcomeBatch).outcomes
    except ContractError:
        # One bad outcome must not take the others of its message with it.
        for raw in decode(body, _LooseBatch).outcomes:
            try:
                _enter(decode(raw, Outcome), now, found)
            except ContractError as error:
                found.poison.append(PoisonItem(bytes(raw), f"it cannot be read: {error}"))
        return
    for outcome in outcomes:
        _enter(outcome, now, found)


def _enter(outcome: Outcome, now: float, found: DecodedBatch) -> None:
    try:
        found.entries.append(entry_of(outcome, now))
    except LedgerRefused as error:
        found.poison.append(poison_outcome(outcome, str(error)))


def _read_recall(body: bytes, now: float) -> Recall:
    recall = decode(body, Recall)
    request_id, seen_at = canonical(recall.request_id), sanitize.time(recall.seen_at)
    if request_id is None:
        raise LedgerRefused(f"the recalled id {recall.request_id[:64]!r} is not a UUID")
    return Recall(
        request_id=request_id,
        digest=recall.digest.replace("\x00", "\ufffd"),
        conflict=recall.conflict,
        seen_at=now if seen_at is None else seen_at,
        reply=recall.reply,
        repeated=recall.repeated,
    )


def poison_lease(lease: Lease, reason: str) -> PoisonItem:
    """Put a lease aside that can never be recorded."""
    return PoisonItem(msgspec.json.encode(LeaseBatch(leases=[lease])), reason, TYPE_LEASES)


def poison_recall(recall: Recall, reason: str) -> PoisonItem:
    """Put the note of a repeated id aside that can never be recorded."""
    return PoisonItem(msgspec.json.encode(recall), reason, TYPE_RECALL)


def poison_outcome(outcome: Outcome, reason: str) -> PoisonItem:
    """Put an outcome aside that can never be recorded."""
    return PoisonItem(msgspec.json.encode(outcome), reason)


def _read_leases(body: bytes, found: DecodedBatch) -> None:
    for lease in decode(body, LeaseBatch).leases:
        try:
            found.leases.append(_checked(lease))
        except LedgerRefused as error:
            found.poison.append(poison_lease(lease, str(error)))


def _checked(lease: Lease) -> Lease:
    task, ids = canonical(lease.task_id), [canonical(text) for text in lease.ids]
    if task is None or not ids or None in ids:
        raise LedgerRefused("a lease names a task or a request by what is not a UUID, or no request at all")
    lease.task_id, lease.ids = task, [text for text in ids if text is not None]
    return lease
