"""Broker and database over TLS: the right authority and host are taken, others refused with the reason."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from broker_config.apply import apply
from outcomes.db.database import connected
from outcomes.db.errors import LedgerUnavailable
from script.stack.services import services
from script.support.run import Run
from straightline import names
from straightline.amqp import Outgoing, Publisher
from straightline.amqp.consuming.reply_queue import ReplyQueue
from straightline.errors import BrokerUnavailable, ConfigurationError
from tests.integration.security.authority import Authority
from workers.celery_ext.app import create

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Place:
    """Services whose certificates are for `localhost`, and the files of the trusted authorities."""

    broker: Callable[..., str]
    database: Callable[..., str]
    right: Path
    wrong: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    files = tmp_path_factory.mktemp("tls")
    right, wrong = Authority.make(files, "right"), Authority.make(files, "wrong")
    server, client = (right.sign(files, name, "localhost") for name in ("server", "client"))
    run = Run.create(files / "state", stays=False)
    try:
        broker = services.start_broker(run, server)
        database = services.start_database(run, server)
        credentials = broker.url.partition("//")[2].rpartition("@")[0]

        def broker_url(host: str = "localhost", scheme: str = "amqps", **files: Path) -> str:
            query = "&".join(f"{name}={quote(str(file))}" for name, file in files.items())
            return f"{scheme}://{credentials}@{host}:{broker.tls_port}/straightline?{query}"

        def database_url(host: str = "localhost", **query: str) -> str:
            url = make_url(database.url).set(host=host).update_query_dict(query)
            return url.render_as_string(hide_password=False)

        apply(broker_url(cacertfile=right.certificate))
        yield Place(
            broker_url, database_url, right.certificate, wrong.certificate, client.certificate, client.key
        )
    finally:
        run.stop()


def publish(url: str) -> BaseException | None:
    with Publisher(url, name="test", confirm_timeout=2.0) as publisher:
        body = Outgoing(names.SIGNALS, "heartbeat", b"{}", mandatory=False)
        return publisher.publish(body).exception(timeout=20)


def test_what_is_published_over_tls_arrives_over_tls(place: Place) -> None:
    url = place.broker(cacertfile=place.right)
    inbox = ReplyQueue(url, name="test", queue="me", exchange=names.REPLIES, on_message=lambda *_: None)
    try:
        inbox.wait_ready(20)
        assert publish(url) is None
    finally:
        inbox.close()


def test_a_client_certificate_is_sent(place: Place) -> None:
    files = {"cacertfile": place.right, "certfile": place.certificate, "keyfile": place.key}
    assert publish(place.broker(**files)) is None


@pytest.mark.parametrize("case", ["another authority", "another host", "the system's authorities"])
def test_a_server_with_another_certificate_is_not_the_broker(
    place: Place, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = {
        "another authority": place.broker(cacertfile=place.wrong),
        "another host": place.broker("127.0.0.1", cacertfile=place.right),
        "the system's authorities": place.broker(),
    }[case]
    error = publish(url)
    assert isinstance(error, BrokerUnavailable)
    assert "is not trusted" in str(error)
    assert ("IP address mismatch" if case == "another host" else "certificate") in str(error)
    with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
        apply(url, attempts=1)
    connection = create({"STRAIGHTLINE_BROKER_URL": url}).connection()
    with connection, pytest.raises(OSError, match="certificate verify failed"):
        connection.connect()
    password = url.partition("//")[2].rpartition("@")[0].rpartition(":")[2]
    assert password not in f"{error}{caplog.text}"


def test_celery_uses_tls(place: Place) -> None:
    app = create({"STRAIGHTLINE_BROKER_URL": place.broker(cacertfile=place.right)})
    with app.connection() as connection:
        connection.connect()
        assert connection.default_channel.queue_declare(names.OUTCOMES_QUEUE, passive=True)


def test_plain_amqp_to_a_tls_port_is_reported(place: Place) -> None:
    error = publish(place.broker(scheme="amqp").rstrip("?"))
    assert isinstance(error, BrokerUnavailable)


def test_files_that_cannot_be_used_are_named_at_once(place: Place, tmp_path: Path) -> None:
    missing, junk = tmp_path / "missing.pem", tmp_path / "junk.pem"
    junk.write_text("no certificate")
    for file in (missing, junk):
        for start in (publish, lambda url: create({"STRAIGHTLINE_BROKER_URL": url})):
            with pytest.raises(ConfigurationError, match=file.name):
                start(place.broker(cacertfile=file))


def test_the_database_is_connected_over_tls(place: Place) -> None:
    with connected(place.database(sslmode="verify-full", sslrootcert=str(place.right))) as connection:
        statement = text("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
        assert connection.execute(statement).scalar_one() is True


@pytest.mark.parametrize(
    ("case", "words"), [("authority", "certificate verify failed"), ("host", "127.0.0.1")]
)
def test_a_server_with_another_certificate_is_not_the_database(place: Place, case: str, words: str) -> None:
    host = "127.0.0.1" if case == "host" else "localhost"
    trusted = place.wrong if case == "authority" else place.right
    url = place.database(host, sslmode="verify-full", sslrootcert=str(trusted))
    with pytest.raises(LedgerUnavailable, match=words), connected(url):
        pass


@pytest.mark.parametrize("mode", ["require", "verify-ca", "prefer"])
def test_tls_without_verification_is_refused(place: Place, mode: str) -> None:
    with pytest.raises(ConfigurationError, match="verify-full"), connected(place.database(sslmode=mode)):
        pass


def test_the_certificate_is_valid_only_for_its_name(place: Place) -> None:
    assert socket.gethostbyname("localhost") == "127.0.0.1", "the tests above mean one server by both"
