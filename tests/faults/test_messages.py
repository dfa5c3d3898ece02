"""Invalid messages: malformed, poison, oversized, deeply nested, repeated."""

import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pika
import pytest

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.amqp.publishing.publisher import Publisher
from straightline.client import Client
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.errors import Rejected
from straightline.ids import new_id
from tests.faults.harness import scripted_model
from tests.faults.harness.broker import QUEUES
from tests.faults.harness.fault_case import FaultCase
from tests.faults.harness.fault_stack import POOLS
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.process_info import resident_bytes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

MAX_GROWTH_BYTES = 48 * 1024 * 1024
"""Memory by which a process may grow during a case."""
CONSUMED_QUEUES = tuple(
    name for name in QUEUES if name != names.DEAD_QUEUE and not name.startswith("straightline.delay.")
)
"""Queues that a component consumes; delay queues feed one of these."""
MALFORMED: dict[str, tuple[bytes, dict[str, object]]] = {
    "no-headers": (b"{}", {}),
    "no-id": (b'{"model": "scripted", "submitted_at": 1, "data": {"inputs": []}}', {}),
    "scalar": (b"3", {"headers": {"task": names.PREDICT_TASK, "id": "x"}}),
    "null": (b"null", {"headers": {"task": names.PREDICT_TASK, "id": "x"}}),
    "two-items": (b"[[], {}]", {"headers": {"task": names.PREDICT_TASK, "id": "x"}}),
    "four-items": (b"[[], {}, {}, {}]", {"headers": {"task": names.PREDICT_TASK, "id": "x"}}),
    "bad-timelimit": (b"[[[]], {}, {}]", {"headers": {"task": "t", "id": "x", "timelimit": [1]}}),
    "list-for-an-id": (b"[[[]], {}, {}]", {"headers": {"task": names.PREDICT_TASK, "id": ["x"]}}),
    "bad-encoding": (b"\xff\xfe{", {"content_encoding": "utf-16", "content_type": "application/json"}),
    "deep": (b"[" * 100_000, {}),
    "pickle": (b"cos\nsystem\n(S'true'\ntR.", {"content_type": "application/x-python-serialize"}),
    "unknown-task": (b"[[], {}, {}]", {"headers": {"task": "os.system", "id": "x"}}),
    "binary-type": (b"{}", {"type": names.TYPE_OUTCOMES}),
}


@contextmanager
def deep_python(frames: int) -> Iterator[None]:
    """Raise the recursion limit, so that this process can encode deep nesting."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(frames)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


@pytest.mark.fast
def test_18_malformed_messages_into_every_queue__are_dead_lettered_and_every_process_survives(
    case: FaultCase,
) -> None:
    count = 0
    with case.load(Mix(rate=15)) as load:
        load.wait_confirmed(30)
        for body, words in MALFORMED.values():
            properties = pika.BasicProperties(delivery_mode=2, **words)
            for queue in CONSUMED_QUEUES:
                case.stack.broker.publish("", queue, body, properties)
                count += 1
        case.fault_over()
        load.wait_confirmed(30)
        results = case.check(allowed=Allowance(unknown_dead=count, unsent=len(MALFORMED)))
    assert results.states().keys() == {"succeeded"}
    assert results.recovery < 5


def test_18_malformed_request_with_an_id__is_rejected_by_that_id(case: FaultCase) -> None:
    bodies = {
        new_id(): b'{"id": "%s", "model": 3, "data": {}}',
        new_id(): b'{"id": "%s", "model": "scripted", "class": "royal", "data": {"inputs": []}}',
        new_id(): b'{"id": "%s", "model": "absent", "submitted_at": 1.0, "data": {"inputs": []}}',
        new_id(): b'{"id": "%s", "model": "scripted", "submitted_at": 1, "deadline": 9e99, "data": {}}',
    }
    for identity, body in bodies.items():
        case.stack.broker.publish(names.REQUESTS, "interactive", body % identity.encode())
    case.fault_over()
    results = case.check(sent=bodies.keys(), confirmed=bodies.keys(), counted=False)
    assert results.states() == {"rejected": len(bodies)}


@pytest.mark.parametrize("kind", ["compressed", "deep-headers"])
def test_19_bombs_for_a_pool__are_dead_lettered_and_memory_stays_flat(case: FaultCase, kind: str) -> None:
    supervisor = case.stack.supervisor
    before = {pool: resident_bytes(supervisor.process(pool).pid) for pool in POOLS}
    headers: dict[str, object] = {"task": names.PREDICT_TASK, "id": "x", "compression": "application/x-gzip"}
    body = zlib.compress(b"0" * 200_000_000, 9)
    if kind == "deep-headers":
        body, nested = b"[[], {}, {}]", "end"
        table: object = nested
        for _ in range(1000):
            table = {"a": table}
        headers = {"task": names.PREDICT_TASK, "id": "x", "deep": table}
    count = 0
    with case.load(Mix(rate=15)) as load:
        load.wait_confirmed(30)
        for queue in CONSUMED_QUEUES:
            with deep_python(20_000):
                case.stack.broker.publish(
                    "", queue, body, pika.BasicProperties(delivery_mode=2, headers=headers)
                )
            count += 1
        case.fault_over()
        load.wait_confirmed(60)
        results = case.check(allowed=Allowance(unknown_dead=count, unsent=2))
    assert results.states().keys() == {"succeeded"}
    grown = {pool: resident_bytes(supervisor.process(pool).pid) - before[pool] for pool in POOLS}
    assert max(grown.values()) < MAX_GROWTH_BYTES, grown


POISON_VALUES = {
    "nul": b'"a\\u0000b"',
    "surrogate": b'"\\ud800"',
    "nan": b"NaN",
    "infinite": b"1e400",
    "long": b'"' + b"x" * 10_000_000 + b'"',
    "not-utf8": b'"\xff\xfe"',
}


def poisoned(identity: str, where: str, value: bytes) -> bytes:
    script = b'{"name":"script","shape":[1],"datatype":"BYTES","data":[%b]}' % (
        value if where == "data" else b'"%b echo\\n"' % identity.encode()
    )
    extra = {
        "data": b"",
        "batch_id": b'"batch_id":%b,' % value,
        "duplicate-key": b'"model":%b,' % value,
    }[where]
    return b'{"id":"%b",%b"model":"scripted","submitted_at":%d,"data":{"inputs":[%b]}}' % (
        identity.encode(),
        extra,
        int(time.time()),
        script,
    )


@pytest.mark.parametrize("where", ["data", "batch_id", "duplicate-key"])
def test_20_poison_in_a_request__one_outcome_and_no_endless_retry(case: FaultCase, where: str) -> None:
    sent = {new_id(): value for value in POISON_VALUES.values()}
    for identity, value in sent.items():
        properties = pika.BasicProperties(delivery_mode=2, message_id=identity)
        case.stack.broker.publish(names.REQUESTS, "interactive", poisoned(identity, where, value), properties)
    case.fault_over()
    results = case.check(sent=sent.keys(), confirmed=sent.keys(), counted=False)
    assert {end.attempts for end in results.facts.outcomes.values()} <= {0, 1}


@pytest.mark.fast
def test_21_oversize__is_refused_with_a_message_and_the_channel_stays_usable(case: FaultCase) -> None:
    """Above our limit nothing is sent; above the broker's limit it closes the channel, which is reopened."""
    broker = case.stack.broker
    usual = broker.setting("max_message_size")
    url = broker.access.of("producer")
    large, small = "x" * (MAX_BODY_BYTES + 1), b'"' + b"x" * 2_000_000 + b'"'
    with Client(url) as client, pytest.raises(Rejected, match="create the client with a store"):
        client.submit(scripted_model.NAME, scripted_model.request(new_id(), "echo", large))
    broker.ctl("eval", "application:set_env(rabbit, max_message_size, 1000000).")
    try:
        with Publisher(url, name="oversize") as publisher:
            sent = publisher.publish(Outgoing(exchange=names.REQUESTS, routing_key="interactive", body=small))
            with pytest.raises(Rejected, match="large"):
                sent.result(30)
            with case.load() as load:
                load.wait_confirmed(20)
                case.fault_over()
                results = case.check()
    finally:
        broker.ctl("eval", f"application:set_env(rabbit, max_message_size, {usual}).")
    assert results.states().keys() == {"succeeded"}


@pytest.mark.fast
def test_22_one_id_a_hundred_times_at_once__one_outcome_and_the_conflict_is_recorded(case: FaultCase) -> None:
    identity = new_id()
    same, other = (scripted_model.request(identity, "echo", padding) for padding in ("same", "other"))
    with Client(case.stack.broker.access.of("producer")) as client:
        gate = threading.Barrier(20)

        def submit(lane: int) -> None:
            gate.wait()
            for turn in range(5):
                body = other if lane % 5 == 4 and turn else same
                client.submit(scripted_model.NAME, body, id=identity)

        lanes = [threading.Thread(target=submit, args=(lane,)) for lane in range(20)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
    case.fault_over()
    results = case.check(sent={identity}, confirmed={identity})
    assert results.facts.executions == {identity: 1}
    repeats = case.stack.database.ask(
        "select conflict from duplicate_requests where request_id = %s", identity
    )
    assert {conflict for (conflict,) in repeats} == {False, True}
