"""Reading a broker's URL, waiting between attempts, and saying what went wrong."""

import logging
import socket
import threading
import time
from functools import partial

import pytest
from pika.adapters.utils.connection_workflow import (
    AMQPConnectionWorkflowFailed,
    AMQPConnectorSocketConnectError,
)
from pika.exceptions import AMQPConnectionError, ProbableAuthenticationError

from straightline.amqp import Outgoing, Publisher
from straightline.amqp.connection.connection import ManagedConnection
from straightline.amqp.connection.failures import REFUSAL_TIMEOUT_S, AuthFailures, describe
from straightline.amqp.connection.parameters import parameters
from straightline.amqp.consuming.reply_queue import ReplyQueue
from straightline.errors import BrokerUnavailable, ConfigurationError
from tests.events import logged


@pytest.mark.parametrize(
    "url", ["", "http://host", "amqp://host:port/", "localhost:5672", "amqp://u:secret@h:99999999/"]
)
def test_an_invalid_amqp_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="amqp://user") as caught:
        parameters(url, "name")
    assert "secret" not in str(caught.value)


def test_a_url_keeps_its_own_heartbeat() -> None:
    assert parameters("amqp://h/v?heartbeat=3", "name").heartbeat == 3
    assert parameters("amqp://h/v", "name").heartbeat == 8


def test_the_innermost_reason_is_described() -> None:
    inner = AMQPConnectorSocketConnectError(ConnectionRefusedError(111, "Connection refused"))
    outer = AMQPConnectionError(AMQPConnectionWorkflowFailed([inner]))
    assert describe(outer) == "ConnectionRefusedError: [Errno 111] Connection refused"
    assert "password" in describe(AMQPConnectionError(ProbableAuthenticationError("x")))


def test_without_a_broker_a_message_fails_in_time_and_says_why() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        url = f"amqp://guest:secret@127.0.0.1:{taken.getsockname()[1]}/"
        publisher = Publisher(url, name="test", confirm_timeout=0.5)
        error = publisher.publish(Outgoing("e", "k", b"{}")).exception(timeout=20)
        publisher.close()
    assert isinstance(error, BrokerUnavailable)
    assert "refused" in str(error)
    assert "secret" not in str(error)


def test_a_reason_is_logged_once_and_a_new_one_again(caplog: pytest.LogCaptureFixture) -> None:
    def nothing(_: object) -> None:
        """Take it."""

    link = ManagedConnection("amqp://h/v", "test", on_channel=nothing, on_lost=nothing)
    with caplog.at_level(logging.WARNING):
        for trouble in ("refused", "refused", "no password", "no password", "refused"):
            link.trouble = trouble
            link._reconnect_later()
    link._loop.close()
    assert len(caplog.records) == 3
    told = [fields["error"] for fields in logged(caplog, "amqp_not_connected")]
    assert told == ["refused", "no password", "refused"]


def test_the_end_of_a_loss_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def nothing(_: object) -> None:
        """Take it."""

    link = ManagedConnection("amqp://h/v", "test", on_channel=nothing, on_lost=nothing)
    with caplog.at_level(logging.WARNING):
        link.mark_working()  # the first connection is no news
        link.trouble = "refused"
        link._reconnect_later()
        link.mark_working()
        link.mark_working()
    link._loop.close()
    assert [str(record.msg).split()[0] for record in caplog.records] == [
        "amqp_not_connected",
        "amqp_connected_again",
    ]


REFUSED = AMQPConnectionError(ProbableAuthenticationError("x"))
OUTAGE = AMQPConnectionError(ConnectionRefusedError(111, "Connection refused"))


def _fail(connection: ManagedConnection, reason: BaseException, now: float) -> None:
    """Report a failure to connect, as of a moment."""
    if connection._on_failed is not None:
        connection._on_failed(connection._auth_failures.record(reason, now))


def test_refusals_count_once_they_have_gone_on_for_five_seconds_however_many_they_are() -> None:
    refusals = AuthFailures()
    assert REFUSAL_TIMEOUT_S == 5.0
    assert not any(refusals.record(REFUSED, 100.0 + tenths / 10) for tenths in range(50))
    assert refusals.record(REFUSED, 105.0)
    assert refusals.record(REFUSED, 106.0)


def test_another_failure_in_between_begins_anew() -> None:
    refusals = AuthFailures()
    assert not refusals.record(REFUSED, 0.0)
    assert not refusals.record(OUTAGE, 6.0)
    assert not refusals.record(REFUSED, 7.0)
    assert not refusals.record(REFUSED, 11.9)
    assert refusals.record(REFUSED, 12.0)


def test_authentication_failures_are_reported_until_the_first_connection() -> None:
    def nothing(_: object) -> None:
        """Take it."""

    told: list[bool] = []
    link = ManagedConnection("amqp://h/v", "test", on_channel=nothing, on_lost=nothing, on_failed=told.append)
    for reason, now in ((REFUSED, 0.0), (REFUSED, 5.0), (OUTAGE, 6.0), (REFUSED, 7.0), (REFUSED, 12.0)):
        _fail(link, reason, now)
    assert told == [False, True, False, False, True]
    link.mark_working()
    _fail(link, REFUSED, 20.0)
    _fail(link, REFUSED, 30.0)
    link._loop.close()
    assert len(told) == 5, "its URL was right: a user who is made anew may come back"


def test_an_outage_after_refusals_is_waited_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        inbox = ReplyQueue(
            f"amqp://127.0.0.1:{taken.getsockname()[1]}/",
            name="test",
            queue="q",
            exchange="e",
            on_message=lambda *_: None,
            gives_up=True,
        )
        told = threading.Event()
        inbox.when_ready(told.set)
        for now in (0.0, 5.0):
            inbox._connection.call(partial(_fail, inbox._connection, REFUSED, now))
        assert told.wait(10), "the refusals were not told"
        end = time.monotonic() + 10
        while inbox._settled.is_set():  # until the next attempt has failed
            assert time.monotonic() < end
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable, match=r"within 0\.5 s: ConnectionRefusedError"):
            inbox.wait_ready(0.5)
        assert time.monotonic() - began >= 0.5
        inbox.close()


def test_a_full_window_makes_the_publishing_thread_wait_and_then_fail() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        publisher = Publisher(
            f"amqp://127.0.0.1:{taken.getsockname()[1]}/", name="test", confirm_timeout=1.0, window=2
        )
        started = time.monotonic()
        futures = [publisher.publish(Outgoing("e", "k", b"{}")) for _ in range(3)]
        assert time.monotonic() - started > 0.5, "the third had no room"
        assert all(isinstance(future.exception(timeout=20), BrokerUnavailable) for future in futures[:2])
        publisher.close(timeout=0)


def test_a_closed_publisher_rejects_messages() -> None:
    publisher = Publisher("amqp://127.0.0.1:1/", name="test")
    waiting = publisher.publish(Outgoing("e", "k", b"{}"))
    publisher.close(timeout=0)
    assert isinstance(waiting.exception(timeout=20), BrokerUnavailable)
    assert isinstance(publisher.publish(Outgoing("e", "k", b"{}")).exception(timeout=20), BrokerUnavailable)
    publisher.close()
