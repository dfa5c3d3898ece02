"""The broker's users are made by its management API, with the passwords of the environment."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pika
import pytest
from pika.exceptions import ProbableAuthenticationError

from broker_config.__main__ import main
from broker_config.definitions import variable
from broker_config.management import upload
from broker_config.users import USER_PREFIX, USERS
from script.stack.services import services
from script.stack.services.rabbitmq import VHOST, Broker
from script.support.run import Run
from straightline.errors import BrokerUnavailable, ConfigurationError

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    run = Run.create(tmp_path_factory.mktemp("management") / "state", stays=False)
    try:
        yield services.start_broker(run, management=True)
    finally:
        run.stop()


@pytest.fixture
def environ(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRAIGHTLINE_BROKER_URL", broker.url)
    monkeypatch.setenv("STRAIGHTLINE_BROKER_MANAGEMENT_URL", f"http://127.0.0.1:{broker.management_port}")


def opens(broker: Broker, user: str, password: str) -> bool:
    parameters = pika.URLParameters(broker.url)
    parameters.credentials = pika.PlainCredentials(USER_PREFIX + user, password)
    try:
        pika.BlockingConnection(parameters).close()
    except ProbableAuthenticationError:
        return False
    return True


@pytest.mark.usefixtures("environ")
def test_users_get_the_passwords_of_the_environment(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for turn in ("first", "second"):
        words = {user: f"{turn}-password-of-{user}" for user in ("scheduler", "recorder")}
        for user, word in words.items():
            monkeypatch.setenv(variable(user), word)
        assert main([]) == 0
        assert all(opens(broker, user, word) for user, word in words.items())
    assert not opens(broker, "scheduler", "first-password-of-scheduler")
    said = capsys.readouterr()
    assert "Created the users" in said.out
    assert variable("producer") in said.err, "users without a password are named"


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("word", ["short", ""])
def test_passwords_that_cannot_be_used_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    monkeypatch.setenv(variable("scheduler"), word)
    assert main([]) == 1
    assert variable("scheduler") in capsys.readouterr().err


@pytest.mark.usefixtures("environ")
def test_two_users_may_not_share_a_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for user in ("scheduler", "recorder"):
        monkeypatch.setenv(variable(user), "one-password-for-two")
    assert main(["definitions"]) == 1
    said = capsys.readouterr()
    assert "are equal" in said.err
    assert "one-password-for-two" not in said.err + said.out


@pytest.mark.usefixtures("environ")
def test_the_document_contains_no_password_in_clear(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for user in USERS:
        monkeypatch.setenv(variable(user), f"a-password-of-{user}")
    assert main(["definitions"]) == 0
    text = capsys.readouterr().out
    assert "a-password-of" not in text
    broker.ctl("import_definitions", stdin=text)
    assert opens(broker, "flower", "a-password-of-flower")
    assert {entry["vhost"] for entry in json.loads(text)["permissions"]} == {VHOST}


def test_a_user_that_is_not_an_administrator_is_reported(broker: Broker) -> None:
    with pytest.raises(ConfigurationError, match="administrator"):
        upload(f"http://127.0.0.1:{broker.management_port}", broker.access.of("producer"), {"users": []})


def test_a_missing_api_is_reported(broker: Broker, tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match="management"):
        upload("http://127.0.0.1:9", broker.url, {"users": []})
    for url in ("ftp://host", "http://user:word@host", tmp_path.as_uri()):
        with pytest.raises(ConfigurationError, match="must look like"):
            upload(url, broker.url, {"users": []})


def test_a_redirect_does_not_get_the_password(broker: Broker) -> None:
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(BrokerUnavailable, match="307"):
            upload(f"http://127.0.0.1:{server.server_port}", broker.url, {"users": []})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == ["/api/definitions"]
