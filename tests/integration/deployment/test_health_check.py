import pika
import pytest

from broker_config import health
from straightline import names
from straightline.errors import BrokerUnavailable, ConfigurationError

pytestmark = pytest.mark.integration


def test_consumers_of_a_queue_are_counted(broker_url: str) -> None:
    assert health.consumers(broker_url, names.OUTCOMES_QUEUE) == 0
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().basic_consume(names.OUTCOMES_QUEUE, lambda *_: None)
        assert health.consumers(broker_url, names.OUTCOMES_QUEUE) == 1


def test_health_requires_a_consumer(
    broker_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_BROKER_URL", broker_url)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        assert health.main([names.OUTCOMES_QUEUE]) == 1
        assert "has no consumer" in capsys.readouterr().err
        connection.channel().basic_consume(names.OUTCOMES_QUEUE, lambda *_: None)
        assert health.main([names.OUTCOMES_QUEUE]) == 0


def test_a_missing_queue_is_named(broker_url: str) -> None:
    with pytest.raises(ConfigurationError, match="no-such-queue"):
        health.consumers(broker_url, "no-such-queue")


def test_an_unreachable_broker_is_reported(broker_url: str) -> None:
    parameters = pika.URLParameters(broker_url)
    wrong = f"amqp://nobody:wrong@{parameters.host}:{parameters.port}/none"
    with pytest.raises(BrokerUnavailable):
        health.consumers(wrong, names.OUTCOMES_QUEUE)
