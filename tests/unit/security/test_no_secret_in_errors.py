"""Errors about a URL do not contain the URL, neither in their message nor in their cause."""

import traceback
from collections.abc import Callable

import pytest

from broker_config import __main__ as topology
from broker_config import health
from gateway import cli as gateway
from outcomes import cli as outcomes
from outcomes.db.database import engine_for
from scheduler import __main__ as scheduler
from straightline.amqp.connection.address import read_address
from straightline.amqp.connection.parameters import parameters
from straightline.cli import main as straightline
from straightline.client import Client
from straightline.errors import ConfigurationError
from straightline.storage.store import Store
from workers.celery_ext.app import create
from workers.protocol.v2_http import V2Client

CANARY = "canary"
BROKERS = [
    f"amqp://user:{CANARY}/x@host/vhost",
    f"amqp://user:{CANARY}#x@host/vhost",
    f"amqp://user:{CANARY}@host:port/vhost",
    f"amqp://user:{CANARY}@host:{CANARY}/vhost",
    f"ampq://user:{CANARY}@host/vhost",
    f"amqp://user:{CANARY}@[host/vhost",
    f"amqp://user:{CANARY}@host/vhost?heartbeat={CANARY}",
    f"amqp://user:{CANARY}@host/vhost?unheard={CANARY}",
    f"amqp://user:{CANARY}@host:99999999/vhost",
    f"amqps://user:{CANARY}@host/vhost?verify=verify_none",
    f"amqps://user:{CANARY}@host/vhost?ssl_options=%7B%7D",
    f"amqp://user:{CANARY}@host/vhost?cacertfile=/ca.pem",
]
DATABASES = [
    f"postgresql+psycopg2://user:{CANARY}@host:port/db",
    f"postgresql+nosuch://user:{CANARY}@host/db",
    f"mysql://user:{CANARY}@host/db",
    f"user:{CANARY}@host",
    f"postgresql://user:{CANARY}@host/db?sslmode=require",
]
STORES = [
    f"s3://key:{CANARY}@bucket/x",
    f"sftp://user:{CANARY}@host/x",
    f"nosuch://user:{CANARY}@host/x",
    f"file://user:{CANARY}@/x?y",
]


def printed(raised: BaseException) -> str:
    """All that a log with tracebacks would show of it."""
    return "".join(traceback.format_exception(raised))


@pytest.mark.parametrize("url", BROKERS)
@pytest.mark.parametrize(
    "use",
    [
        lambda url: parameters(url, "name"),
        Client,
        lambda url: create({"STRAIGHTLINE_BROKER_URL": url}),
    ],
)
def test_a_brokers_url_is_not_repeated(url: str, use: Callable[[str], object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        use(url)
    assert "broker URL" in str(caught.value)
    assert CANARY not in printed(caught.value)


@pytest.mark.parametrize("url", DATABASES)
def test_a_databases_url_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as caught:
        engine_for(url, name="test")
    assert CANARY not in printed(caught.value)


@pytest.mark.parametrize("root", STORES)
def test_a_store_with_a_password_in_its_url_is_refused_without_repeating_it(root: str) -> None:
    with pytest.raises(ConfigurationError, match="store") as caught:
        Store(root)
    assert CANARY not in printed(caught.value)


@pytest.mark.parametrize("url", [f"ftp://user:{CANARY}@host", f"http://user:{CANARY}@[host"])
def test_a_servers_url_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        V2Client(url)
    assert CANARY not in printed(caught.value)


@pytest.fixture
def written(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[[], tuple[str, str]]:
    """All that was written to stderr, and all that was written anywhere."""

    def read() -> tuple[str, str]:
        out = capfd.readouterr()
        return out.err, out.err + out.out + caplog.text

    return read


@pytest.mark.parametrize(
    "run",
    [
        lambda: topology.main([]),
        lambda: health.main(["straightline.outcomes"]),
        lambda: outcomes.main(["record"]),
        lambda: outcomes.main(["migrate"]),
        lambda: outcomes.main(["failures"]),
        lambda: gateway.main(["celery"]),
        lambda: straightline(["cancel", "0195e3a0-5c1e-7000-8000-00000000abcd"]),
        scheduler.main,
    ],
)
@pytest.mark.parametrize(
    "url", [f"amqp://user:{CANARY}/x@host/vhost", f"postgresql://user:{CANARY}@host:port/db"]
)
def test_no_command_prints_a_password(
    run: Callable[[], int],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    written: Callable[[], tuple[str, str]],
    tmp_path: object,
) -> None:
    monkeypatch.setattr("sys.argv", ["program"])
    for name in ("BROKER_URL", "DATABASE_URL"):
        monkeypatch.setenv(f"STRAIGHTLINE_{name}", url)
    monkeypatch.setenv("STRAIGHTLINE_MODELS_DIR", str(tmp_path))
    assert run() != 0
    errors, everything = written()
    assert CANARY not in everything
    assert errors.count("\n") == 1, "one line, and no traceback"


def test_a_url_without_a_password_is_printed_whole() -> None:
    read = read_address("amqps://u:p%2Fw@h:1/v?heartbeat=3&cacertfile=/a%20b.pem")
    assert read.url == "amqps://u:p%2Fw@h:1/v?heartbeat=3"
    assert read.tls is not None
    assert (read.tls.host, read.tls.cacertfile) == ("h", "/a b.pem")
    assert read_address("amqp://u:p@h/v").tls is None
