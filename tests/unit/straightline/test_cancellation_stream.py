"""How long a wish to cancel is remembered."""

from datetime import timedelta

from broker_config.topology import CANCELLED_STREAM
from straightline.amqp.consuming.cancellations import LOOKBACK


def test_the_lookback_equals_the_streams_retention() -> None:
    kept = CANCELLED_STREAM.queue_arguments["x-max-age"]
    assert kept == f"{LOOKBACK // timedelta(days=1)}D"
