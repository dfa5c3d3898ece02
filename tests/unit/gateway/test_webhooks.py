"""Signatures, SSRF guard and retry schedule of webhooks."""

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


def test_the_example_of_the_specification_has_the_same_signature() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_verifies_a_signature_with_the_secret() -> None:
    secret = new_secret()
    signed = headers(secret, "id", 7, b"body")
    key = base64.b64decode(secret.split("_", 1)[1])
    wanted = base64.b64encode(hmac.new(key, b"id.7.body", hashlib.sha256).digest()).decode()
    assert signed["webhook-signature"] == f"v1,{wanted}"
    assert len(key) >= 24


def test_a_receiver_verifies_a_signature_with_the_standard_library() -> None:
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
def test_a_malformed_url_is_rejected(url: str) -> None:
    with pytest.raises(ContractError):
        check_url(url, frozenset())


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:9999", "10.1.2.3", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "0.0.0.0"),  # noqa: S104
        *("127.1", "2130706433", "0x7f000001", "localhost", "LocalHost:1", "api.localhost", "localhost."),
    ],
)
def test_a_private_address_is_rejected_at_registration(host: str) -> None:
    with pytest.raises(ContractError, match=r"private network .*STRAIGHTLINE_WEBHOOK_HOSTS"):
        check_url(f"https://{host}/x", frozenset())


@pytest.mark.parametrize("host", ["93.184.216.34", "[2606:4700::1111]", "localhost.example", "inside"])
def test_public_addresses_and_names_are_accepted(host: str) -> None:
    check_url(f"https://{host}/x", frozenset())


def test_allowlisted_addresses_are_accepted() -> None:
    trusted = parse_hosts("127.0.0.1, localhost, ::1,")
    for url in ("https://127.0.0.1:9/", "http://localhost/", "http://[::1]:80/"):
        check_url(url, trusted)


@pytest.mark.parametrize("wrong", ["http://x", "x:80", "a:80", "[::1]", "x/y", "good,b c", "*.internal"])
def test_an_invalid_allowlist_is_rejected_with_advice(wrong: str) -> None:
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
def test_a_name_that_resolves_to_a_private_address_is_rejected(address: str) -> None:
    for found in (look_up(address), look_up("93.184.216.34", address)):
        with pytest.raises(ContractError, match="private network"):
            resolve("https://hook.example/x", frozenset(), found)


def test_the_checked_address_is_the_one_called() -> None:
    target = resolve("https://hook.example:8443/x?y=1", frozenset(), look_up("93.184.216.34"))
    assert (target.address, target.host, target.port, target.path) == (
        "93.184.216.34",
        "hook.example",
        8443,
        "/x?y=1",
    )


def test_an_allowlisted_host_may_be_private_and_plain_http() -> None:
    target = resolve("http://inside:8080", parse_hosts("other, Inside"), look_up("10.0.0.7"))
    assert (target.scheme, target.address, target.path) == ("http", "10.0.0.7", "/")


def test_retries_span_more_than_a_day() -> None:
    waits = [retry_delay(failures, 0.0) for failures in range(1, len(RETRY_DELAYS_S) + 2)]
    assert waits[-1] is None
    assert sum(wait for wait in waits if wait is not None) > 24 * 3600
    assert retry_delay(1, 0.99) == pytest.approx(RETRY_DELAYS_S[0] * 1.099)
