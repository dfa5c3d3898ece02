"""Celery's settings for the worker pools, each with the reason it is not the default.

Sources: Celery's configuration reference, and what its worker does with late acknowledgement and with
malformed messages, read and tried with the locked versions.
"""

from typing import Any

from kombu import Exchange, Queue

from broker_config.connecting import use_ssl
from broker_config.topology import POOL_QUEUES
from straightline.amqp.connection.address import read_address
from straightline.amqp.connection.connection import parameters


def celery_settings(broker_url: str) -> dict[str, Any]:
    """Return the settings as a mapping for `app.conf.update`.

    Raises:
        ConfigurationError: `broker_url` is not an AMQP URL, or names certificates that cannot be used.
    """
    parameters(broker_url, "")  # what cannot be used is told now, and not at each attempt to connect
    address = read_address(broker_url)
    return {
        "broker_url": address.bare,
        "broker_use_ssl": use_ssl(address.tls),
        "task_queues": tuple(_standing(queue) for queue in POOL_QUEUES),
        "task_create_missing_queues": False,  # a misspelt -Q must fail, not make a queue that nobody feeds
        "task_ignore_result": True,  # outcomes have their own exchange and ledger
        # The backends hold connections and threads, which a fork would break; calls wait on the network.
        "worker_pool": "threads",
        "worker_concurrency": 8,
        # A task is done when its outcomes are confirmed: it is acknowledged after, and comes back otherwise.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure": False,
        "task_acks_on_timeout": False,
        # Slots are counted by the scheduler: nothing may wait inside a worker.
        "worker_prefetch_multiplier": 1,
        # Quorum queues have their prefetch per consumer; after a reconnect it must not stay reduced.
        "worker_enable_prefetch_count_reduction": False,
        "worker_disable_rate_limits": True,  # none are used, and each task would ask for its own
        # A worker outlives its broker.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_heartbeat": 10,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # JSON alone, in and out.
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        # Flower lists what workers and scheduler report.
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "worker_enable_remote_control": True,  # Flower asks workers for their state
        "event_queue_prefix": "straightline.events",
        # Exclusive, as RabbitMQ 4 wants its transient queues.
        "event_queue_exclusive": True,
        "control_queue_exclusive": True,
        "worker_redirect_stdouts": False,  # what a library prints is not a warning of the worker
        "timezone": "UTC",
        "enable_utc": True,
    }


def _standing(queue: Queue) -> Queue:
    """Return a queue that is used as it stands: a pool may not declare it, and need not."""
    exchange = Exchange(queue.exchange.name, type=queue.exchange.type, no_declare=True)
    return Queue(
        queue.name,
        exchange,
        routing_key=queue.routing_key,
        durable=True,
        queue_arguments=queue.queue_arguments,  # Celery looks here for the type of the queue
        no_declare=True,
    )
