"""Celery's settings for the worker pools, with the reason for each that is not the default.

Sources: Celery's configuration reference, and the worker's code for late acknowledgement and malformed
messages, read and tested with the locked versions.
"""

from typing import Any

from kombu import Exchange, Queue

from broker_config.connection import use_ssl
from broker_config.topology import POOL_QUEUES
from straightline.amqp.connection.address import read_address
from straightline.amqp.connection.parameters import parameters


def celery_settings(broker_url: str) -> dict[str, Any]:
    """Return the settings as a mapping for `app.conf.update`.

    Raises:
        ConfigurationError: `broker_url` is not an AMQP URL, or names certificates that cannot be used.
    """
    parameters(broker_url, "")  # report an unusable URL now, not with each attempt to connect
    address = read_address(broker_url)
    return {
        "broker_url": address.bare,
        "broker_use_ssl": use_ssl(address.tls),
        "task_queues": tuple(_without_declare(queue) for queue in POOL_QUEUES),
        "task_create_missing_queues": False,  # a misspelt -Q must fail, not create a queue
        "task_ignore_result": True,  # outcomes have their own exchange and ledger
        # A fork would break the backends' connections and threads; calls wait on the network.
        "worker_pool": "threads",
        "worker_concurrency": 8,
        # A task is acknowledged once its outcomes are confirmed, and redelivered otherwise.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure": False,
        "task_acks_on_timeout": False,
        # The scheduler counts slots: no task may wait inside a worker.
        "worker_prefetch_multiplier": 1,
        # Quorum queues count prefetch by consumer; after a reconnect it must not stay reduced.
        "worker_enable_prefetch_count_reduction": False,
        "worker_disable_rate_limits": True,  # none is used, and each task would check its own
        # A worker survives outages of the broker.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_heartbeat": 10,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Only JSON.
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        # For Flower.
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "worker_enable_remote_control": True,  # Flower queries the workers' state
        "event_queue_prefix": "straightline.events",
        # RabbitMQ 4 requires transient queues to be exclusive.
        "event_queue_exclusive": True,
        "control_queue_exclusive": True,
        "worker_redirect_stdouts": False,  # a library's output is not a warning
        "timezone": "UTC",
        "enable_utc": True,
    }


def _without_declare(queue: Queue) -> Queue:
    """Return the queue for use without a declaration, for which a pool has no permission."""
    exchange = Exchange(queue.exchange.name, type=queue.exchange.type, no_declare=True)
    return Queue(
        queue.name,
        exchange,
        routing_key=queue.routing_key,
        durable=True,
        queue_arguments=queue.queue_arguments,  # Celery reads the queue's type here
        no_declare=True,
    )
