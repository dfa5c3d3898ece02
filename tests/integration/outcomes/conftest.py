"""A bench with recorders and reconcilers in this process, a broker and a database."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pika
import pytest
from pika.exceptions import AMQPError
from sqlalchemy import create_engine, text

from outcomes.db.database import engine_for
from outcomes.loops import Loop
from outcomes.messaging.batch_consumer import BatchConsumer
from outcomes.reconciling.dead_letter_processor import PREFETCH, DeadLetterProcessor
from outcomes.reconciling.dead_letter_table import DeadLetterTable
from outcomes.reconciling.reconciler import Reconciler
from outcomes.recording.ledger import Ledger
from outcomes.recording.recorder import Recorder
from outcomes.rows.row_mapping import Entry
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts import Attempt, Lease, LeaseBatch, Outcome, OutcomeBatch, Reason, Recall
from straightline.ids import new_id

REASON = Reason(
    policy="empirical",
    rule=3,
    f_t=1.5,
    F=50.0,
    r_d=9,
    D=100,
    s_f=True,
    s_d=False,
    refused={"serverless": "no"},
)
RESULT = b'{"model_name":"digits","outputs":[]}'


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come to hold within {seconds} s"
        time.sleep(0.02)
    return found


class Bench:
    """A broker, a database and any number of recorders between them."""

    def __init__(self, broker_url: str, database_url: str) -> None:
        self.broker_url, self.database_url = broker_url, database_url
        self._engine = create_engine(database_url)
        self.publisher = Publisher(broker_url, name="test")
        self._stops: list[Callable[[], None]] = []
        self._connection = pika.BlockingConnection(pika.URLParameters(broker_url))
        self.channel = self._connection.channel()

    def record(
        self,
        *,
        acknowledge: bool = True,
        database_url: str | None = None,
        on_recorded: Callable[[Sequence[Entry]], None] | None = None,
    ) -> Callable[[], None]:
        """Start a recorder and return the function that stops it."""
        intake = BatchConsumer(self.broker_url, prefetch=500)
        if not acknowledge:
            intake.settle = lambda *_: None  # type: ignore[method-assign]
        ledger = Ledger(
            database_url or self.database_url,
            statement_timeout=2.0,
            lock_timeout=0.2,
            on_recorded=on_recorded,
        )
        recorder = Recorder(intake, ledger, self.publisher, gather=0.01)
        thread = threading.Thread(target=recorder.run)
        intake.start()
        thread.start()

        def stop() -> None:
            recorder.stop()
            thread.join(15)
            intake.stop()
            ledger.close()
            assert not thread.is_alive()

        self._stops.append(stop)
        return stop

    def reconcile(
        self, *, body_bytes: int = 0, interval: float = 0.1, recorder_head_start: float = 0.5
    ) -> Callable[[], None]:
        """Start a reconciler with its dead-letter loop and return the function that stops both."""
        intake = BatchConsumer(self.broker_url, prefetch=PREFETCH, queue=names.DEAD_QUEUE, name="test-dead")
        letters = DeadLetterTable(self.database_url, body_bytes=body_bytes)
        engine = engine_for(self.database_url, name="test", lock_timeout=5.0, pool_size=2)
        loops: list[Loop] = [
            Reconciler(
                engine,
                intake,
                self.publisher,
                interval=interval,
                first_recheck=0.3,
                recorder_head_start=recorder_head_start,
            ),
            DeadLetterProcessor(intake, letters, self.publisher),
        ]
        threads = [threading.Thread(target=loop.run) for loop in loops]
        intake.start()
        for thread in threads:
            thread.start()

        def stop() -> None:
            for loop in loops:
                loop.stop()
            for thread in threads:
                thread.join(15)
            intake.stop()
            letters.close()
            engine.dispose()
            assert not any(thread.is_alive() for thread in threads)

        self._stops.append(stop)
        return stop

    def send(self, outcomes: Sequence[Outcome]) -> None:
        self.publisher.publish(self.outgoing(outcomes)).result(20)

    def outgoing(self, outcomes: Sequence[Outcome]) -> Outgoing:
        body = msgspec.json.encode(OutcomeBatch(outcomes=list(outcomes)))
        return Outgoing(names.OUTCOMES, "outcome", body, type=names.TYPE_OUTCOMES)

    def send_body(self, body: bytes, kind: str = names.TYPE_OUTCOMES) -> None:
        self.publisher.publish(Outgoing(names.OUTCOMES, "outcome", body, type=kind)).result(20)

    def lease(self, *leases: Lease) -> None:
        body = msgspec.json.encode(LeaseBatch(leases=list(leases)))
        self.publisher.publish(Outgoing(names.OUTCOMES, "placement", body, type=names.TYPE_LEASES)).result(20)

    def recall(self, recall: Recall) -> None:
        body = msgspec.json.encode(recall)
        self.publisher.publish(Outgoing(names.OUTCOMES, "recall", body, type=names.TYPE_RECALL)).result(20)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    def do(self, sql: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(sql))

    def count(self, table: str = "outcomes") -> int:
        return int(self.ask(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - the test's own names

    def waiting(self, queue: str = names.OUTCOMES_QUEUE) -> int:
        """Count the messages ready in a queue."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def pop(self, queue: str) -> tuple[Any, bytes] | None:
        method, properties, body = self.channel.basic_get(queue, auto_ack=True)
        return None if method is None else (properties, body)

    def stop(self) -> None:
        for stop in self._stops:
            stop()
        self.publisher.close()
        with suppress(AMQPError):  # a test may have made the broker close it
            self._connection.close()
        self._engine.dispose()


@pytest.fixture
def bench(broker_url: str, migrated_database_url: str) -> Iterator[Bench]:
    made = Bench(broker_url, migrated_database_url)
    try:
        yield made
    finally:
        made.stop()


def make_outcome(**changes: Any) -> Outcome:
    now = round(time.time(), 3)  # Postgres stores microseconds
    attempt = Attempt(
        number=1,
        backend="local",
        succeeded=True,
        placed_at=now - 0.3,
        started_at=now - 0.2,
        finished_at=now,
        worker="local@test",
        reason=REASON,
        wait=0.1,
        service=0.2,
    )
    facts: dict[str, Any] = {
        "request_id": new_id(),
        "state": "succeeded",
        "finished_at": now,
        "model": "digits",
        "version": "1",
        "class_": "interactive",
        "backend": "local",
        "attempts": [attempt],
        "result": msgspec.Raw(RESULT),
        "submitted_at": now - 0.5,
        "received_at": now - 0.4,
        "r_d": 9,
        "cost": 0.25,
        "digest": "d" * 64,
    }
    return Outcome(**{**facts, **changes})


@pytest.fixture(name="make_outcome")
def _make_outcome() -> Callable[..., Outcome]:
    return make_outcome


@pytest.fixture(name="wait_for")
def _wait_for() -> Callable[..., Any]:
    return wait_for
