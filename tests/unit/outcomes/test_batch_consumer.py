import threading
import time

from outcomes.messaging.batch_consumer import BatchConsumer
from outcomes.messaging.delivery import Delivery


def arrive(intake: BatchConsumer, tag: int) -> None:
    with intake._changed:
        intake._waiting.append(Delivery(1, tag, None, b""))
        intake._changed.notify_all()


def test_a_connection_lost_while_gathering_does_not_end_the_consumer() -> None:
    """An empty batch would end the recorder as if it had been stopped."""
    intake = BatchConsumer("amqp://127.0.0.1:1/", prefetch=10)
    taken: list[list[Delivery]] = []
    taker = threading.Thread(target=lambda: taken.append(intake.take(gather=0.2)))
    arrive(intake, 1)
    taker.start()
    time.sleep(0.05)  # it gathers
    intake._lost(ConnectionResetError())
    taker.join(0.5)
    assert taker.is_alive(), "it took nothing, and came back"
    arrive(intake, 2)
    taker.join(5)
    assert [[delivery.tag for delivery in run] for run in taken] == [[2]]


def test_a_woken_consumer_returns_an_empty_batch() -> None:
    intake = BatchConsumer("amqp://127.0.0.1:1/", prefetch=10)
    intake.wake()
    assert intake.take(gather=5) == []
