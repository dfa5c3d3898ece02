"""Broker of the suite: fault injection and queue contents."""

import json
import re
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import pika
import pika.exceptions
from sqlalchemy.engine import make_url

from broker_config import topology
from broker_config.users import USER_PREFIX, USERS
from script.stack.services import rabbitmq
from script.stack.services.ports import accepts
from script.stack.services.services import broker_answers
from script.support import processes
from script.support.readiness import wait_until
from script.support.run import Run
from tests.faults.harness.process_info import descendants

QUEUES: Final = tuple(
    queue.name for queue in topology.QUEUES if queue.queue_arguments["x-queue-type"] == "quorum"
)
"""Queues that must drain; streams keep their messages."""
_END_CONNECTIONS: Final = (
    '[rabbit_networking:close_connection(Pid, <<"closed by a test">>)'
    ' || [{{pid, Pid}}, {{user, <<"{user}">>}}] <- rabbit_networking:connection_info_all([pid, user])].'
)
_TICK_MS: Final = 500
"""Interval at which a quorum queue reports its messages, unacknowledged ones included, in milliseconds."""
_ADVANCED: Final = f"[{{rabbit, [{{quorum_tick_interval, {_TICK_MS}}}, {{channel_tick_interval, 5000}}]}}].\n"


class BrokerNode:
    """A private RabbitMQ that can be stopped, killed and started again on its data."""

    def __init__(self, run: Run) -> None:
        self._run = run
        started = rabbitmq.start(run.home, run.log("rabbitmq"), run.name)
        run.add(*started.processes)
        self._broker = started
        self.access = started.access
        self.url = started.access.admin
        self.wait(60)
        for name, value in (("quorum_tick_interval", _TICK_MS), ("channel_tick_interval", 5000)):
            self.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")
        advanced = started.home / "advanced.config"  # the same after every restart
        advanced.write_text(_ADVANCED, encoding="ascii")
        advanced.chmod(0o644)

    @property
    def port(self) -> int:
        """Port of the node."""
        return int(pika.URLParameters(self.url).port)

    @property
    def vhost(self) -> str:
        """The virtual host."""
        return rabbitmq.VHOST

    @property
    def process(self) -> processes.Process:
        """The node's process."""
        return self._broker.processes[1]

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        """Run rabbitmqctl."""
        return self._broker.ctl(*arguments, stdin=stdin)

    def kill(self) -> None:
        """Kill the node, which runs below a shell script, and wait until its port is closed."""
        whole = [self.process, *descendants(self.process.pid)]
        processes.stop([replace(process, stop_signal=int(signal.SIGKILL)) for process in whole])
        wait_until(lambda: not accepts(self.port), what="the broker's end", seconds=10)

    def start(self) -> float:
        """Start the node on its data, wait until it answers; return when it first accepted a connection."""
        started = self._broker.launch()
        self._run.add(started)
        self._broker = replace(self._broker, processes=(self._broker.processes[0], started))
        wait_until(lambda: accepts(self.port), what="the broker", seconds=60, watched=(started,))
        accepted_at = time.time()
        self.wait(60)
        return accepted_at

    def wait(self, seconds: float) -> None:
        """Wait until the node accepts connections."""
        wait_until(lambda: broker_answers(self.url), what="the broker", seconds=seconds)

    def ready(self) -> Mapping[str, tuple[int, int]]:
        """Return (ready messages, consumers) by queue."""
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

    def setting(self, name: str) -> str:
        """Return a setting of the node as an Erlang term."""
        return self.ctl("eval", f"{{ok, V}} = application:get_env(rabbit, {name}), V.").strip()

    def bind(self, queue: str, exchange: str, key: str) -> None:
        """Bind a queue."""
        self._do(lambda channel: channel.queue_bind(queue, exchange, key))

    def unbind(self, queue: str, exchange: str, key: str) -> None:
        """Remove a binding."""
        self._do(lambda channel: channel.queue_unbind(queue, exchange, key))

    def limit(self, queue: str, messages: int, *, delivery_limit: int = topology.DELIVERY_LIMIT) -> None:
        """Set a queue's length limit (approximate) and its delivery limit."""
        pattern = f"^{re.escape(queue)}$"
        rule = json.dumps({"max-length": messages, "delivery-limit": delivery_limit})
        self.ctl("set_policy", "-p", self.vhost, "--apply-to", "queues", "faults", pattern, rule)

    def unlimit(self, queue: str) -> None:
        """Lift the limit of `limit` by a higher one, as an operator must.

        RabbitMQ 3.10 unblocks refused publishers when the queue falls below its limit. If the limit is
        removed, this never happens, and they are refused until they reconnect.
        """
        self.limit(queue, 1_000_000)

    def revoke(self, user: str, what: str) -> None:
        """Revoke the password or all permissions of a component's user, and close its connections."""
        name = USER_PREFIX + user
        if what == "password":
            self.ctl("change_password", name, secrets.token_hex(8))
        else:
            self.ctl("clear_permissions", "-p", self.vhost, name)
        self.ctl("eval", _END_CONNECTIONS.format(user=name))

    def grant(self, user: str) -> None:
        """Undo `revoke`."""
        name, rights = USER_PREFIX + user, USERS[user].patterns()
        self.ctl("change_password", name, str(make_url(self.access.of(user)).password))
        patterns = (rights["configure"], rights["write"], rights["read"])
        self.ctl("set_permissions", "-p", self.vhost, name, *patterns)

    def _do(self, work: Callable[[Any], object]) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            work(connection.channel())
        finally:
            connection.close()

    def depths(self) -> Mapping[str, int]:
        """Return the number of messages by queue, unacknowledged ones included."""
        listed = self.ctl("list_queues", "-p", self.vhost, "name", "messages", "--formatter", "json")
        return {queue["name"]: queue["messages"] for queue in json.loads(listed) if queue["name"] in QUEUES}

    def publish(
        self, exchange: str, key: str, body: bytes, properties: pika.BasicProperties | None = None
    ) -> None:
        """Publish any message with a confirm."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(exchange, key, body, properties, mandatory=True)
        finally:
            connection.close()
