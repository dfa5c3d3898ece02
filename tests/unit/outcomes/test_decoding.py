import msgspec
from hypothesis import given
from hypothesis import strategies as st

from outcomes.messaging.delivery import Delivery
from outcomes.rows.decoding import decode_deliveries
from straightline.contracts import Lease, LeaseBatch, Outcome, OutcomeBatch, Recall
from straightline.ids import new_id
from straightline.names import TYPE_LEASES, TYPE_OUTCOMES, TYPE_RECALL


def _delivery(body: bytes, kind: str | None = TYPE_OUTCOMES) -> Delivery:
    return Delivery(epoch=1, tag=1, type=kind, body=body)


def _batch(*outcomes: Outcome) -> bytes:
    return msgspec.json.encode(OutcomeBatch(outcomes=list(outcomes)))


def _outcome() -> Outcome:
    return Outcome(request_id=new_id(), state="succeeded", finished_at=1.0)


def test_outcomes_and_recalls_are_distinguished_by_type() -> None:
    outcome = _outcome()
    recall = Recall(request_id=outcome.request_id, digest="d", conflict=False, seen_at=2.0)
    found = decode_deliveries(
        [_delivery(_batch(outcome)), _delivery(msgspec.json.encode(recall), TYPE_RECALL)], now=3.0
    )
    assert [entry.request_id for entry in found.entries] == [outcome.request_id]
    assert found.recalls == [recall]
    assert not found.poison
    assert not found.refused


def test_one_bad_outcome_costs_only_itself() -> None:
    first, last = _outcome(), _outcome()
    good = [msgspec.json.encode(first), b'{"request_id": 7}', msgspec.json.encode(last)]
    found = decode_deliveries([_delivery(b'{"outcomes":[' + b",".join(good) + b"]}")], now=3.0)
    assert [entry.request_id for entry in found.entries] == [first.request_id, last.request_id]
    assert [poison.body for poison in found.poison] == [b'{"request_id": 7}']
    assert not found.refused


def test_an_outcome_without_a_usable_id_is_poison_with_a_reason() -> None:
    found = decode_deliveries(
        [_delivery(_batch(Outcome(request_id="x", state="failed", finished_at=1.0)))], now=3.0
    )
    assert ["not a UUID" in poison.reason for poison in found.poison] == [True]


def test_a_lease_without_valid_ids_costs_only_itself() -> None:
    named, nameless = _lease(new_id()), _lease("seven")
    batch = msgspec.json.encode(LeaseBatch(leases=[nameless, named]))
    found = decode_deliveries([_delivery(batch, TYPE_LEASES)], now=3.0)
    assert found.leases == [named]
    assert [(poison.type, msgspec.json.decode(poison.body, type=LeaseBatch)) for poison in found.poison] == [
        (TYPE_LEASES, LeaseBatch(leases=[nameless]))
    ]
    assert not found.refused


def _lease(task_id: str) -> Lease:
    return Lease(task_id=task_id, ids=[new_id()], backend="local", model="m", placed_at=1, until=2)


def test_undecodable_messages_are_refused_each_with_a_reason() -> None:
    recall = msgspec.json.encode(Recall(request_id="x", digest="d", conflict=False, seen_at=2.0))
    deliveries = [
        _delivery(b"{"),
        _delivery(_batch(_outcome()), "straightline.ticket.v1"),
        _delivery(_batch(_outcome()), None),
        _delivery(b"[" * 100_000),
        _delivery(recall, TYPE_RECALL),
    ]
    found = decode_deliveries(deliveries, now=3.0)
    assert [delivery for delivery, _ in found.refused] == deliveries
    assert all(reason for _, reason in found.refused)
    assert not found.entries


def test_a_recall_is_sanitized_for_its_row() -> None:
    recall = Recall(request_id=new_id().upper(), digest="d\x00", conflict=True, seen_at=-1.0)
    found = decode_deliveries([_delivery(msgspec.json.encode(recall), TYPE_RECALL)], now=3.0)
    assert found.recalls[0].request_id == recall.request_id.lower()
    assert found.recalls[0].digest == "d\ufffd"
    assert found.recalls[0].seen_at == 3.0


@given(body=st.binary(), kind=st.sampled_from([TYPE_OUTCOMES, TYPE_RECALL, None]))
def test_any_bytes_are_decoded_or_refused(body: bytes, kind: str | None) -> None:
    found = decode_deliveries([_delivery(body, kind)], now=3.0)
    assert len(found.refused) == 1
