"""The broker and database fixtures: private, isolated from each other, complete."""

import pika
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from script.stack.services.admin import BrokerAdmin
from straightline import names

pytestmark = pytest.mark.integration


def test_a_new_vhost_has_the_topology(broker_url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    found = connection.channel().queue_declare(names.OUTCOMES_QUEUE, passive=True)
    connection.close()
    assert found.method.message_count == 0


def test_an_empty_vhost_has_no_queue(empty_broker_url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(empty_broker_url))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        connection.channel().queue_declare(names.OUTCOMES_QUEUE, passive=True)
    connection.close()


def test_each_test_has_its_own_vhost(
    broker_url: str, empty_broker_url: str, broker_admin: BrokerAdmin
) -> None:
    assert broker_url == empty_broker_url
    assert not broker_url.endswith("/straightline")
    assert "test-" in broker_admin.ctl("list_vhosts")


def test_a_new_database_is_empty(database_url: str) -> None:
    parts = make_url(database_url)
    connection = psycopg2.connect(
        host=parts.host,
        port=parts.port,
        user=parts.username,
        password=parts.password,
        dbname=parts.database,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from information_schema.tables where table_schema = 'public'")
        assert cursor.fetchone() == (0,)
    connection.close()
