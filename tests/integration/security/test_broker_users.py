"""Each of the broker's users can do its work and nothing else. Tried on a broker, name by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import methodcaller
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from broker_config import topology
from broker_config.users import USERS
from script.stack.services.admin import BrokerAdmin
from straightline import names
from straightline.contracts import Outcome, ReplyAddress
from straightline.ids import new_id
from straightline.messages.results import reply

pytestmark = pytest.mark.integration

EXCHANGES = {exchange.name for exchange in topology.EXCHANGES}
QUEUES = {queue.name for queue in topology.QUEUES}
DEFAULT = ""
POOLS = {f"pool-{backend}" for backend in names.BACKENDS}

MAY_PUBLISH = {
    names.REQUESTS: {"producer", "celery-producer", "gateway", "batches", "celery-door"},
    names.PLACEMENTS: {"scheduler"},
    names.OUTCOMES: {"scheduler", "reconciler"} | POOLS,
    names.REPLIES: {"scheduler", "recorder", "reconciler"} | POOLS,
    names.ADAPTER_REPLIES: {"scheduler", "recorder", "reconciler"} | POOLS,
    names.SIGNALS: {"scheduler", "reconciler"} | POOLS,
    names.STATUS: {"scheduler"} | POOLS,
    names.DELAYS: {"scheduler", "recorder"},
    names.RETURNS: set(),
    names.REGISTRY: {"deployer", "reconciler"},
    names.DEAD: {"scheduler", "recorder"},
    DEFAULT: {"celery-door"},
}
"""Who may publish to which exchange."""

MAY_CONSUME = {
    **{queue.name: {"scheduler"} for queue in topology.SCHEDULER_QUEUES},
    **{names.backend_queue(backend): {f"pool-{backend}"} for backend in names.BACKENDS},
    **{queue.name: set() for queue in topology.DELAY_QUEUES},
    names.WEBHOOKS_QUEUE: {"webhooks"},
    **{queue.name: {"celery-door"} for queue in topology.CELERY_QUEUES},
    names.CANCELLED_STREAM: {"scheduler"} | POOLS,
    names.DEPLOYED_STREAM: {"scheduler", "gateway", "reconciler"} | POOLS,
    names.STATUS_STREAM: {"gateway"},
    names.OUTCOMES_QUEUE: {"recorder"},
    names.DEAD_QUEUE: {"reconciler"},
}
"""Who may consume which queue."""

MAY_BIND_OWN = {
    names.REPLIES: {"producer", "gateway", "batches"},
    names.SIGNALS: {"scheduler", "gateway"} | POOLS,
}
"""Who may have messages of which exchange sent to a queue of its own."""

SAME_NAME = {
    (names.OUTCOMES_QUEUE, names.SIGNALS): {"scheduler"} | POOLS,
    (names.DEAD_QUEUE, names.SIGNALS): {"scheduler"},
    (names.OUTCOMES_QUEUE, names.DEAD): {"reconciler"},
    (names.DEAD_QUEUE, names.OUTCOMES): {"recorder"},
}
"""Bindings that can be made since a queue has the name of an exchange. Each of these users may read the one
and write the other anyway."""

OWN_QUEUE = {
    "producer": names.REPLY_QUEUE_PREFIX + "a",
    "gateway": names.REPLY_QUEUE_PREFIX + "b",
    "batches": names.REPLY_QUEUE_PREFIX + "c",
    "celery-producer": new_id(),
    "scheduler": "",
    "flower": "straightline.events.a",
    **{f"pool-{backend}": f"{backend}@host.celery.pidbox" for backend in names.BACKENDS},
}
"""A queue that each may declare; the others may declare none."""


class Hand:
    """Tries operations as one user, each on a channel of its own, since a refusal closes it."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))

    def may(self, operation: Callable[[Any], Any]) -> bool:
        """Try it; False where the broker refuses it for want of a right."""
        channel = self._connection.channel()
        channel.confirm_delivery()
        try:
            operation(channel)
        except ChannelClosedByBroker as error:
            if error.reply_code != 403:
                raise
            return False
        channel.close()
        return True

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _hands(urls: dict[str, str]) -> Iterator[dict[str, Hand]]:
    hands = {user: Hand(url) for user, url in urls.items()}
    try:
        yield hands
    finally:
        for hand in hands.values():
            hand.close()


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "pika")  # hundreds of refusals are what is wanted here


@pytest.fixture
def hands(user_urls: dict[str, str]) -> Iterator[dict[str, Hand]]:
    with _hands(user_urls) as hands:
        yield hands


def _who(hands: dict[str, Hand], operation: Callable[[Any], Any]) -> set[str]:
    return {user for user, hand in hands.items() if hand.may(operation)}


def test_the_tables_of_this_test_are_complete() -> None:
    assert set(MAY_PUBLISH) == EXCHANGES | {DEFAULT}
    assert set(MAY_CONSUME) == QUEUES


def test_only_its_producers_write_to_an_exchange(hands: dict[str, Hand]) -> None:
    found = {
        exchange: _who(hands, methodcaller("basic_publish", exchange, "no key", b""))
        for exchange in MAY_PUBLISH
    }
    assert found == MAY_PUBLISH


def test_only_its_consumers_read_a_queue(hands: dict[str, Hand]) -> None:
    def consume(channel: Any, queue: str) -> None:
        channel.basic_qos(prefetch_count=1)  # a stream wants it
        channel.basic_consume(queue, lambda *_: None)

    found = {queue: _who(hands, partial(consume, queue=queue)) for queue in MAY_CONSUME}
    assert found == MAY_CONSUME


def test_no_user_changes_the_topology(hands: dict[str, Hand]) -> None:
    for queue in QUEUES:
        assert _who(hands, methodcaller("queue_delete", queue)) == set(), queue
        assert _who(hands, methodcaller("queue_declare", queue, durable=True)) == set(), queue
    for exchange in EXCHANGES:
        assert _who(hands, methodcaller("exchange_delete", exchange)) == set(), exchange


def test_no_user_binds_a_queue_to_read_along(hands: dict[str, Hand]) -> None:
    """Neither an own queue nor another binding of an existing queue helps."""

    def listen(channel: Any, name: str, exchange: str) -> None:
        queue = channel.queue_declare(name, exclusive=True, auto_delete=True).method.queue
        channel.queue_bind(queue, exchange, "key")

    for exchange in EXCHANGES:
        found = set()
        for user, name in OWN_QUEUE.items():
            if hands[user].may(partial(listen, name=name, exchange=exchange)):
                found.add(user)
        assert found == MAY_BIND_OWN.get(exchange, set()), exchange
        for queue in QUEUES:
            found = _who(hands, methodcaller("queue_bind", queue, exchange, "key"))
            assert found == SAME_NAME.get((queue, exchange), set()), (queue, exchange)


def test_an_own_queue_does_not_bypass_permissions(hands: dict[str, Hand]) -> None:
    """Dead-lettering and alternate exchanges would publish with the broker's rights."""
    dead_letters = {"x-dead-letter-exchange": names.PLACEMENTS, "x-message-ttl": 0}
    for user, name in OWN_QUEUE.items():
        declare = methodcaller("queue_declare", name, exclusive=True, arguments=dead_letters)
        assert hands[user].may(declare) is (user == "scheduler"), user
        exchange = methodcaller(
            "exchange_declare", name or names.LEADER_QUEUE, arguments={"alternate-exchange": names.PLACEMENTS}
        )
        assert hands[user].may(exchange) is False, user


def test_a_reply_queue_is_exclusive_to_its_connection(user_urls: dict[str, str]) -> None:
    name = names.REPLY_QUEUE_PREFIX + new_id()
    owner = pika.BlockingConnection(pika.URLParameters(user_urls["producer"]))
    owner.channel().queue_declare(name, exclusive=True)
    other = pika.BlockingConnection(pika.URLParameters(user_urls["producer"]))
    for operation in ("basic_get", "queue_delete", "queue_purge"):
        with pytest.raises(ChannelClosedByBroker) as refused:
            getattr(other.channel(), operation)(name)
        assert refused.value.reply_code == 405  # locked
    owner.close()
    other.close()


def test_results_for_an_adapter_are_readable_only_by_it(user_urls: dict[str, str], broker_url: str) -> None:
    """Its keys are public, and a user that may read an exchange may bind with any key."""
    outcome = Outcome(request_id=new_id(), state="succeeded", finished_at=0.0)
    mine = names.REPLY_QUEUE_PREFIX + new_id()
    with (
        pika.BlockingConnection(pika.URLParameters(user_urls["producer"])) as curious,
        pika.BlockingConnection(pika.URLParameters(broker_url)) as system,
    ):
        channel = curious.channel()
        channel.queue_declare(mine, exclusive=True)
        for key, queue in (
            (names.CELERY_REPLY_KEY, names.CELERY_REPLIES_QUEUE),
            (names.WEBHOOK_REPLY_KEY, names.WEBHOOKS_QUEUE),
        ):
            channel.queue_bind(mine, names.REPLIES, routing_key=key)
            told = reply(outcome, ReplyAddress(to=key, correlation_id=new_id()))
            writer = system.channel()
            writer.confirm_delivery()
            writer.basic_publish(told.exchange, told.routing_key, told.body, mandatory=True)
            assert writer.basic_get(queue, auto_ack=True)[2] == told.body
        assert channel.basic_get(mine)[0] is None


def test_only_flower_sends_remote_control(hands: dict[str, Hand], broker_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().exchange_declare("celery.pidbox", "fanout")
    assert _who(hands, lambda channel: channel.basic_publish("celery.pidbox", "", b"")) == {"flower"}


def test_there_is_no_guest_user(broker_admin: BrokerAdmin) -> None:
    listed = [
        line.split("\t")[0] for line in broker_admin.ctl("list_users", "--no-table-headers").splitlines()
    ]
    assert "guest" not in listed
    parameters = pika.URLParameters(broker_admin.url)
    parameters.credentials = pika.PlainCredentials("guest", "guest")
    with pytest.raises(ProbableAuthenticationError):
        pika.BlockingConnection(parameters)


def test_every_user_has_its_own_permissions_and_password(user_urls: dict[str, str]) -> None:
    assert set(user_urls) == set(USERS)
    assert len({url.split(":")[2] for url in user_urls.values()}) == len(USERS)
