"""The broker of the suite: what is done to it, and what lies in it."""

import json
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
import pika
import pika.exceptions

from broker_config import topology
from script.stack import processes, rabbitmq
from script.stack.ports import accepts
from script.stack.readiness import wait_until
from script.stack.run import Run
from script.stack.services import broker_answers
from straightline import names
from tests.faults.kit.oracle import DeadLetter
from tests.faults.kit.tree import descendants

QUEUES: Final = tuple(
    queue.name for queue in topology.QUEUES if queue.queue_arguments["x-queue-type"] == "quorum"
)
"""What must drain; a stream keeps what was read."""
_TICK: Final = 500
"""Milliseconds after which a quorum queue says anew what it holds, unacknowledged messages included."""
_ADVANCED: Final = f"[{{rabbit, [{{quorum_tick_interval, {_TICK}}}, {{channel_tick_interval, 5000}}]}}].\n"


class Node:
    """A private RabbitMQ that can be stopped, killed and started again on its data."""

    def __init__(self, run: Run) -> None:
        self._run = run
        started = rabbitmq.start(run.home, run.log("rabbitmq"), run.name)
        run.add(*started.processes)
        self._broker = started
        self.access = started.access
        self.url = started.access.admin
        self.wait(60)
        for name, value in (("quorum_tick_interval", _TICK), ("channel_tick_interval", 5000)):
            self.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")
        advanced = started.home / "advanced.config"  # the same after every restart
        advanced.write_text(_ADVANCED, encoding="ascii")
        advanced.chmod(0o644)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(pika.URLParameters(self.url).port)

    @property
    def process(self) -> processes.Process:
        """The node's process."""
        return self._broker.processes[1]

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        """Run rabbitmqctl."""
        return self._broker.ctl(*arguments, stdin=stdin)

    def kill(self) -> None:
        """Kill the node, which runs below a shell script, and wait until it has gone."""
        whole = [self.process, *descendants(self.process.pid)]
        processes.stop([replace(process, stop_signal=int(signal.SIGKILL)) for process in whole])
        wait_until(lambda: not accepts(self.port), what="the broker's end", seconds=10)

    def start(self) -> float:
        """Start the node on its data, wait until it answers, and return when it first took a connection."""
        began = self._broker.launch()
        self._run.add(began)
        self._broker = replace(self._broker, processes=(self._broker.processes[0], began))
        wait_until(lambda: accepts(self.port), what="the broker", seconds=60, watched=(began,))
        there = time.time()
        self.wait(60)
        return there

    def wait(self, seconds: float) -> None:
        """Wait until it takes connections."""
        wait_until(lambda: broker_answers(self.url), what="the broker", seconds=seconds)

    def ready(self) -> Mapping[str, tuple[int, int]]:
        """Count for each queue the messages that are ready, and its consumers."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            channel = connection.channel()
            found = {}
            for name in QUEUES:
                frame: Any = channel.queue_declare(name, passive=True)
                found[name] = (frame.method.message_count, frame.method.consumer_count)
            return found
        finally:
            connection.close()

    def depths(self) -> Mapping[str, int]:
        """Count the messages in each queue, unacknowledged ones included."""
        vhost = rabbitmq.VHOST
        told = self.ctl("list_queues", "-p", vhost, "name", "messages", "--formatter", "json")
        return {queue["name"]: queue["messages"] for queue in json.loads(told) if queue["name"] in QUEUES}

    def take_dead(self) -> list[DeadLetter]:
        """Take what lies in the dead-letter queue."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        found: list[DeadLetter] = []
        try:
            channel = connection.channel()
            while True:
                method, properties, body = channel.basic_get(names.DEAD_QUEUE, auto_ack=True)
                if method is None:
                    return found
                found.append(_letter(properties, body))
        finally:
            connection.close()

    def publish(
        self, exchange: str, key: str, body: bytes, properties: pika.BasicProperties | None = None
    ) -> None:
        """Publish a message of any kind, confirmed."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(exchange, key, body, properties, mandatory=True)
        finally:
            connection.close()


def _letter(properties: Any, body: bytes) -> DeadLetter:
    headers = properties.headers or {}
    deaths = headers.get("x-death") or [{}]
    reason = str(headers.get("reason") or headers.get("x-first-death-reason") or deaths[0].get("reason"))
    return DeadLetter(_request_of(properties, body), reason)


def _request_of(properties: Any, body: bytes) -> str | None:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if isinstance(found, dict):
        for word in ("id", "request_id"):
            if isinstance(found.get(word), str):
                return str(found[word])
    return None
