"""Decodes messages of the outcomes queue into what the ledger records."""

from collections.abc import Iterable

import msgspec

from outcomes.db.errors import LedgerRefused
from outcomes.messaging.delivery import Delivery, PoisonItem
from outcomes.rows import sanitize
from outcomes.rows.row_mapping import Entry, entry_of
from straightline.contracts import Lease, LeaseBatch, Outcome, OutcomeBatch, Recall
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.names import TYPE_LEASES, TYPE_OUTCOMES, TYPE_RECALL


class DecodedBatch(msgspec.Struct, frozen=True):
    """The contents of a batch of deliveries.

    Attributes:
        entries: outcomes, in order of arrival.
        recalls: ids submitted again, in order of arrival.
        leases: leases of placements.
        poison: single outcomes and leases that can never be recorded, from messages that otherwise can.
        refused: messages of which nothing can be recorded, each with the reason.
    """

    entries: list[Entry] = []
    recalls: list[Recall] = []
    leases: list[Lease] = []
    poison: list[PoisonItem] = []
    refused: list[tuple[Delivery, str]] = []


class _LooseBatch(msgspec.Struct):
    outcomes: list[msgspec.Raw]


def decode_deliveries(deliveries: Iterable[Delivery], now: float) -> DecodedBatch:
    """Decode messages. A fault costs only the outcome, the lease or the message that contains it.

    Args:
        deliveries: in order of arrival.
        now: Unix seconds, in place of invalid times.
    """
    found = DecodedBatch([], [], [], [], [])
    for delivery in deliveries:
        try:
            if delivery.type == TYPE_OUTCOMES:
                _decode_batch(delivery.body, now, found)
            elif delivery.type == TYPE_RECALL:
                found.recalls.append(_decode_recall(delivery.body, now))
            elif delivery.type == TYPE_LEASES:
                _decode_leases(delivery.body, found)
            else:
                found.refused.append((delivery, f"unknown message type {delivery.type!r}"))
        except ContractError as error:
            found.refused.append((delivery, f"cannot be decoded: {error}"))
        except LedgerRefused as error:
            found.refused.append((delivery, str(error)))
    return found


def poison_lease(lease: Lease, reason: str) -> PoisonItem:
    """Wrap a lease that can never be recorded."""
    return PoisonItem(msgspec.json.encode(LeaseBatch(leases=[lease])), reason, TYPE_LEASES)


def poison_recall(recall: Recall, reason: str) -> PoisonItem:
    """Wrap a recall that can never be recorded."""
    return PoisonItem(msgspec.json.encode(recall), reason, TYPE_RECALL)


def poison_outcome(outcome: Outcome, reason: str) -> PoisonItem:
    """Wrap an outcome that can never be recorded."""
    return PoisonItem(msgspec.json.encode(outcome), reason)


def _decode_batch(body: bytes, now: float, found: DecodedBatch) -> None:
    try:
        outcomes = decode(body, OutcomeBatch).outcomes
    except ContractError:
        # One bad outcome must not cost the others of its message.
        for raw in decode(body, _LooseBatch).outcomes:
            try:
                _add_entry(decode(raw, Outcome), now, found)
            except ContractError as error:
                found.poison.append(PoisonItem(bytes(raw), f"cannot be decoded: {error}"))
        return
    for outcome in outcomes:
        _add_entry(outcome, now, found)


def _add_entry(outcome: Outcome, now: float, found: DecodedBatch) -> None:
    try:
        found.entries.append(entry_of(outcome, now))
    except LedgerRefused as error:
        found.poison.append(poison_outcome(outcome, str(error)))


def _decode_recall(body: bytes, now: float) -> Recall:
    recall = decode(body, Recall)
    request_id, seen_at = canonical(recall.request_id), sanitize.time(recall.seen_at)
    if request_id is None:
        raise LedgerRefused(f"invalid request id {recall.request_id[:64]!r}: not a UUID")
    return Recall(
        request_id=request_id,
        digest=recall.digest.replace("\x00", "\ufffd"),
        conflict=recall.conflict,
        seen_at=now if seen_at is None else seen_at,
        reply=recall.reply,
        repeated=recall.repeated,
    )


def _decode_leases(body: bytes, found: DecodedBatch) -> None:
    for lease in decode(body, LeaseBatch).leases:
        try:
            found.leases.append(_with_canonical_ids(lease))
        except LedgerRefused as error:
            found.poison.append(poison_lease(lease, str(error)))


def _with_canonical_ids(lease: Lease) -> Lease:
    task, ids = canonical(lease.task_id), [canonical(text) for text in lease.ids]
    if task is None or not ids or None in ids:
        raise LedgerRefused("invalid lease: its task id or a request id is not a UUID, or it has no request")
    lease.task_id, lease.ids = task, [text for text in ids if text is not None]
    return lease
