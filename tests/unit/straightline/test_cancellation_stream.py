"""How long a wish to cancel is remembered."""

from datetime import timedelta

from broker_config.topology import CANCELLED_STREAM
from straightline.amqp.consuming.cancellations import LOOKBACK


def test_who_starts_reads_all_the_days_that_the_stream_keeps() -> None:
    kept = CANCELLED_STREAM.queue_arguments["x-max-age"]
    assert kept == f"{LOOKBACK // timedelta(days=1)}D"
