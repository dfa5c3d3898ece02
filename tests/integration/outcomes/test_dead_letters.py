"""Dead letters as the broker creates them: each is drained, its requests end, and it is recorded."""

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pika
import pytest

from broker_config import topology
from outcomes.cli import main
from straightline import names
from straightline.contracts import Outcome, Recall, ReplyAddress, Ticket
from straightline.ids import new_id
from tests.events import logged

pytestmark = pytest.mark.integration
Make = Callable[..., Outcome]
Wait = Callable[..., Any]
LOCAL = names.backend_queue("local")
SECRET = "canary-7f3a"


def _placement(*ids: str, reply: ReplyAddress | None = None) -> bytes:
    tickets = []
    for name in ids:
        body = {
            "id": name,
            "model": "digits",
            "submitted_at": time.time(),
            "data": {"inputs": [], "x": SECRET},
        }
        ticket = Ticket(
            request=msgspec.Raw(json.dumps(body).encode()),
            digest="d",
            submitted_at=1.0,
            received_at=1.0,
            deadline=2.0,
            r_d=3,
            reply=reply,
            backend="local",
        )
        tickets.append(msgspec.json.encode(ticket))
    return b"[[[" + b",".join(tickets) + b"]], {}, {}]"


def _publish(bench: Any, exchange: str, key: str, body: bytes, **properties: Any) -> None:
    bench.channel.basic_publish(exchange, key, body, pika.BasicProperties(delivery_mode=2, **properties))


def _give_up(bench: Any, queue: str) -> None:
    """Requeue a queue's message up to the delivery limit, as a worker that it kills does."""
    for _ in range(topology.DELIVERY_LIMIT + 1):
        method = None
        while method is None:
            method, _, _ = bench.channel.basic_get(queue)
        bench.channel.basic_reject(method.delivery_tag, requeue=True)


def _reject(bench: Any, queue: str) -> None:
    method = None
    while method is None:
        method, _, _ = bench.channel.basic_get(queue)
    bench.channel.basic_reject(method.delivery_tag, requeue=False)


def _letters(bench: Any) -> list[tuple[Any, ...]]:
    return list(
        bench.ask("SELECT queue, reason, resolution, requests::text[], times, body FROM dead_letters")
    )


def _drained(bench: Any, wait_for: Wait, count: int) -> None:
    wait_for(lambda: bench.count("dead_letters") == count, "the notes")
    wait_for(lambda: bench.waiting(names.DEAD_QUEUE) == 0, "the queue's end")


def test_a_placement_at_the_delivery_limit_fails_all_its_requests(bench: Any, wait_for: Wait) -> None:
    key = f"{names.REPLY_QUEUE_PREFIX}test"
    bench.channel.queue_declare(key, exclusive=True)
    bench.channel.queue_bind(key, names.REPLIES, key)
    ids = [new_id(), new_id()]
    _publish(
        bench,
        names.PLACEMENTS,
        "local",
        _placement(*ids, reply=ReplyAddress(to=key, correlation_id="c-1")),
    )
    _give_up(bench, LOCAL)
    bench.record()
    bench.reconcile()
    wait_for(lambda: bench.count() == 2, "the outcomes")
    found = bench.ask("SELECT request_id::text, state, error_class, backend FROM outcomes")
    assert sorted(found) == sorted((name, "failed", "delivery_limit", "local") for name in ids)
    told = [wait_for(lambda: bench.pop(key), "an answer") for _ in ids]
    assert sorted(msgspec.json.decode(body, type=Outcome).request_id for _, body in told) == sorted(ids)
    _drained(bench, wait_for, 1)
    assert _letters(bench) == [(LOCAL, "delivery_limit", "resolved", ids, 1, None)]


def test_a_malformed_placement_is_rejected_if_its_ids_are_readable(bench: Any, wait_for: Wait) -> None:
    request_id = new_id()
    _publish(bench, names.PLACEMENTS, "local", _placement(request_id).replace(b", {}, {}]", b"]"))
    _reject(bench, LOCAL)
    bench.record()
    bench.reconcile()
    wait_for(lambda: bench.count() == 1, "the outcome")
    assert bench.ask("SELECT request_id::text, state, error_class FROM outcomes") == [
        (request_id, "rejected", "malformed")
    ]


def test_a_producer_gets_the_true_outcome_if_it_was_on_its_way(
    bench: Any, make_outcome: Make, wait_for: Wait
) -> None:
    """The recorder is behind: the outcome waits in its queue, and no producer is told of a failure."""
    key = f"{names.REPLY_QUEUE_PREFIX}test"
    bench.channel.queue_declare(key, exclusive=True)
    bench.channel.queue_bind(key, names.REPLIES, key)
    outcome = make_outcome()
    bench.send([outcome])
    reply = ReplyAddress(to=key, correlation_id="c-1")
    _publish(bench, names.PLACEMENTS, "local", _placement(outcome.request_id, reply=reply))
    _give_up(bench, LOCAL)
    bench.reconcile()
    _drained(bench, wait_for, 1)
    assert bench.pop(key) is None, "the ledger has nothing yet"
    bench.record()
    properties, body = wait_for(lambda: bench.pop(key), "an answer")
    assert (properties.correlation_id, msgspec.json.decode(body, type=Outcome).state) == ("c-1", "succeeded")
    assert bench.ask("SELECT state FROM outcomes") == [("succeeded",)]
    assert bench.count("duplicate_requests") == 0


def test_a_recorded_outcome_is_not_contradicted(bench: Any, make_outcome: Make, wait_for: Wait) -> None:
    key = f"{names.REPLY_QUEUE_PREFIX}test"
    bench.channel.queue_declare(key, exclusive=True)
    bench.channel.queue_bind(key, names.REPLIES, key)
    outcome = make_outcome()
    bench.send([outcome])
    bench.record()
    wait_for(lambda: bench.count() == 1, "the outcome")
    reply = ReplyAddress(to=key, correlation_id="c-1")
    _publish(bench, names.PLACEMENTS, "local", _placement(outcome.request_id, reply=reply))
    _reject(bench, LOCAL)
    bench.reconcile()
    _drained(bench, wait_for, 1)
    assert bench.ask("SELECT state FROM outcomes") == [("succeeded",)]
    assert bench.count("duplicate_outcomes") == 0
    assert bench.pop(key) is None


def test_outcomes_at_the_delivery_limit_are_still_recorded(
    bench: Any, make_outcome: Make, wait_for: Wait
) -> None:
    outcomes = [make_outcome() for _ in range(3)]
    bench.send(outcomes)
    _give_up(bench, names.OUTCOMES_QUEUE)
    bench.recall(Recall(request_id=outcomes[0].request_id, digest="x", conflict=False, seen_at=1.0))
    _give_up(bench, names.OUTCOMES_QUEUE)
    bench.record()
    bench.reconcile()
    wait_for(lambda: bench.count() == 3, "the outcomes")
    wait_for(lambda: bench.count("duplicate_requests") == 1, "the recall")
    _drained(bench, wait_for, 2)
    assert {row[2] for row in _letters(bench)} == {"sent_again"}
    assert bench.ask("SELECT DISTINCT state FROM outcomes") == [("succeeded",)]


def test_a_message_that_no_recorder_can_process_ends_with_an_outcome(
    bench: Any, make_outcome: Make, wait_for: Wait
) -> None:
    outcome = make_outcome()
    bench.send([outcome])
    bench.reconcile()
    # Three times: the original and two resends. The next one is another message.
    for _ in range(3):
        wait_for(lambda: bench.waiting() == 1, "its coming back")
        _give_up(bench, names.OUTCOMES_QUEUE)
    bench.record()
    wait_for(lambda: bench.count() == 1, "the outcome")
    assert bench.ask("SELECT request_id::text, state, error_class FROM outcomes") == [
        (outcome.request_id, "failed", "unrecordable")
    ]
    wait_for(lambda: bench.waiting(names.DEAD_QUEUE) == 0, "the queue's end")


def test_a_row_that_postgres_refuses_ends_as_unrecordable(
    bench: Any, make_outcome: Make, wait_for: Wait
) -> None:
    bench.do("ALTER TABLE outcomes ADD CHECK (model <> 'cursed')")
    cursed = make_outcome(model="cursed")
    bench.send([cursed])
    bench.record()
    bench.reconcile()
    wait_for(lambda: bench.count() == 1, "the outcome")
    ((request_id, error_class, error),) = bench.ask(
        "SELECT request_id::text, error_class, error FROM outcomes"
    )
    assert (request_id, error_class) == (cursed.request_id, "unrecordable")
    assert "check constraint" in error
    _drained(bench, wait_for, 1)


def test_uninterpretable_dead_letters_are_recorded_once_without_their_bodies(
    bench: Any, wait_for: Wait, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd: dict[str, Any] = {"x-straightline-reason": "\ud800 \x00".encode("utf-8", "replace"), "x-death": 7}
    for _ in range(3):
        _publish(bench, names.DEAD, "", f"garbage {SECRET}".encode())
    _publish(bench, names.DEAD, "", b"[" * 100_000, headers=odd, message_id="m\x00")
    _publish(
        bench, names.DEAD, "", b"\x80\x04.", headers={"x-straightline-reason": "not a ticket"}, type="t\x00"
    )
    bench.record()
    bench.reconcile()
    _drained(bench, wait_for, 3)
    wait_for(lambda: sum(row[4] for row in _letters(bench)) == 5, "all of them")
    assert [row[2] for row in _letters(bench)] == ["kept"] * 3
    assert bench.count() == 0
    monkeypatch.setenv("STRAIGHTLINE_DATABASE_URL", bench.database_url)
    assert main(["dead"]) == 0
    table = capsys.readouterr().out
    assert "not a ticket" in table
    assert main(["dead", "--json", "--limit", "5"]) == 0
    letters = json.loads(capsys.readouterr().out)
    assert sorted(letter["times"] for letter in letters) == [1, 1, 3]
    assert SECRET not in table + json.dumps(letters)
    assert main(["dead", "--since", "1s", "--limit", "0"]) == 0


def test_bodies_are_stored_up_to_the_configured_size(bench: Any, wait_for: Wait) -> None:
    _publish(bench, names.DEAD, "", b"0123456789" * 100)
    bench.reconcile(body_bytes=12)
    _drained(bench, wait_for, 1)
    assert [bytes(row[5]) for row in _letters(bench)] == [b"012345678901"]


def test_dead_letters_are_held_through_a_postgres_outage(
    bench: Any, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    bench.do("ALTER TABLE dead_letters RENAME TO away")
    _publish(bench, names.DEAD, "", b"garbage")
    bench.reconcile()
    wait_for(lambda: logged(caplog, "batch_held"), "its noticing")
    assert bench.waiting(names.DEAD_QUEUE) == 0, "it is held, not given back"
    bench.do("ALTER TABLE away RENAME TO dead_letters")
    _drained(bench, wait_for, 1)


def test_a_bug_in_the_analysis_does_not_redeliver_the_dead_letter(
    bench: Any, wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("outcomes.reconciling.dead_letter_processor.analyze", broken)
    _publish(bench, names.DEAD, "", b"garbage")
    bench.reconcile()
    _drained(bench, wait_for, 1)
    assert bench.ask("SELECT resolution, said FROM dead_letters") == [
        ("kept", "ZeroDivisionError during analysis")
    ]
