"""Webhooks are signed as their standard has it, lead nowhere they must not, and are tried for a day."""

import base64
import hashlib
import hmac
import time
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.webhooks.address import check_url, parse_hosts, resolve
from gateway.webhooks.schedule import RETRY_DELAYS_S, retry_delay
from gateway.webhooks.signing import headers, new_secret
from straightline.errors import ConfigurationError, ContractError


def test_the_specifications_own_example_is_signed_alike() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_can_check_it_with_nothing_but_the_secret() -> None:
    secret = new_secret()
    signed = headers(secret, "id", 7, b"body")
    key = base64.b64decode(secret.split("_", 1)[1])
    wanted = base64.b64encode(hmac.new(key, b"id.7.body", hashlib.sha256).digest()).decode()
    assert signed["webhook-signature"] == f"v1,{wanted}"
    assert len(key) >= 24


def test_a_receiver_can_check_it_with_the_library_of_the_standard() -> None:
    secret, body = new_secret(), '{"model":"größe"}'.encode()
    signed = headers(secret, "id", int(time.time()), body)
    assert Webhook(secret).verify(body, signed) == {"model": "größe"}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, signed)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "https://user:secret@example.org/",
        "https:///path",
        "https://0*",
        "https://a..b/",
        "https://example.org:99999/",
        "https://example.org/a b",
        "https://exämple.org/",
        "https://example.org/" + "x" * 2048,
        "nonsense",
        "",
    ],
)
def test_a_url_that_could_never_be_called_is_refused(url: str) -> None:
    with pytest.raises(ContractError):
        check_url(url, frozenset())


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:9999", "10.1.2.3", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "0.0.0.0"),  # noqa: S104
        *("127.1", "2130706433", "0x7f000001", "localhost", "LocalHost:1", "api.localhost", "localhost."),
    ],
)
def test_an_address_that_no_delivery_would_reach_is_refused_at_once(host: str) -> None:
    with pytest.raises(ContractError, match=r"private network .*STRAIGHTLINE_WEBHOOK_HOSTS"):
        check_url(f"https://{host}/x", frozenset())


@pytest.mark.parametrize("host", ["93.184.216.34", "[2606:4700::1111]", "localhost.example", "inside"])
def test_what_a_delivery_may_reach_is_taken(host: str) -> None:
    check_url(f"https://{host}/x", frozenset())


def test_addresses_that_the_settings_name_are_taken() -> None:
    trusted = parse_hosts("127.0.0.1, localhost, ::1,")
    for url in ("https://127.0.0.1:9/", "http://localhost/", "http://[::1]:80/"):
        check_url(url, trusted)


@pytest.mark.parametrize("wrong", ["http://x", "x:80", "a:80", "[::1]", "x/y", "good,b c", "*.internal"])
def test_a_setting_that_names_no_host_is_refused_with_the_cure(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^STRAIGHTLINE_WEBHOOK_HOSTS .*without scheme"):
        parse_hosts(wrong)


def look_up(*addresses: str) -> Any:
    return lambda host, port, **_: [(2, 1, 6, "", (address, port)) for address in addresses]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "192.168.0.1",
        "0.0.0.0",  # noqa: S104 - it is refused
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "100.64.0.1",
        "::ffff:10.0.0.1",
    ],
)
def test_no_name_leads_into_our_own_network(address: str) -> None:
    for found in (look_up(address), look_up("93.184.216.34", address)):
        with pytest.raises(ContractError, match="private network"):
            resolve("https://hook.example/x", frozenset(), found)


def test_the_address_that_was_checked_is_the_one_that_is_called() -> None:
    target = resolve("https://hook.example:8443/x?y=1", frozenset(), look_up("93.184.216.34"))
    assert (target.address, target.host, target.port, target.path) == (
        "93.184.216.34",
        "hook.example",
        8443,
        "/x?y=1",
    )


def test_a_host_that_the_settings_name_may_be_ours_and_plain() -> None:
    target = resolve("http://inside:8080", parse_hosts("other, Inside"), look_up("10.0.0.7"))
    assert (target.scheme, target.address, target.path) == ("http", "10.0.0.7", "/")


def test_it_is_tried_for_more_than_a_day_and_then_given_up() -> None:
    waits = [retry_delay(failures, 0.0) for failures in range(1, len(RETRY_DELAYS_S) + 2)]
    assert waits[-1] is None
    assert sum(wait for wait in waits if wait is not None) > 24 * 3600
    assert retry_delay(1, 0.99) == pytest.approx(RETRY_DELAYS_S[0] * 1.099)
