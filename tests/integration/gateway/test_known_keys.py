"""Other content under a known `Idempotency-Key` is rejected by every process."""

import secrets
import threading
import time
from collections.abc import Callable

import pytest
import requests
from sqlalchemy import delete, select

from outcomes.db.database import connected
from outcomes.recording.ledger import Ledger
from outcomes.rows.row_mapping import entry_of
from outcomes.schema.tables import SUBMISSIONS
from straightline.contracts import Outcome
from tests.integration.gateway.conftest import Gateway, body

pytestmark = pytest.mark.integration


def _key() -> dict[str, str]:
    return {"Idempotency-Key": f"order-{secrets.token_hex(4)}"}


def _refused(answer: requests.Response) -> bool:
    return (answer.status_code, answer.headers.get("X-StraightLine-Error")) == (409, "conflict")


@pytest.mark.parametrize(
    ("path", "prefer"), [("/v1/requests", {}), ("/v2/models/double/infer", {"Prefer": "respond-async"})]
)
@pytest.mark.parametrize("hooked", [False, True])
def test_other_content_is_rejected_without_waiting(
    gateway: Gateway, path: str, prefer: dict[str, str], *, hooked: bool
) -> None:
    headers = {**_key(), **prefer}
    if hooked:
        made = gateway.ask("POST", "/v1/webhooks", json={"url": "https://example.com/x"}).json()
        headers["X-StraightLine-Webhook"] = made["id"]

    def ask(value: float) -> requests.Response:
        data = body([value])
        content = data if path.startswith("/v2") else {"model": "double", "data": data}
        return gateway.ask("POST", path, json=content, headers=headers)

    assert ask(1.0).status_code == 202
    assert _refused(ask(2.0))
    assert ask(1.0).status_code == 202


def test_every_process_rejects_other_content_after_the_end(
    gateway: Gateway, start_gateway: Callable[..., Gateway]
) -> None:
    other = start_gateway()
    headers = {**_key(), "Prefer": "respond-async"}
    first = gateway.infer([1.0], headers=headers)
    assert _refused(other.infer([2.0], headers=headers, key=gateway.key))
    with connected(gateway.database_url) as connection:
        one = SUBMISSIONS.c.id == first.json()["id"]
        digest = connection.execute(select(SUBMISSIONS.c.digest).where(one)).scalar_one()
        connection.execute(delete(SUBMISSIONS).where(one))
        connection.commit()
    ledger = Ledger(gateway.database_url)
    outcome = Outcome(request_id=first.json()["id"], state="failed", finished_at=time.time(), digest=digest)
    ledger.write([entry_of(outcome, time.time())])
    ledger.close()
    assert _refused(other.infer([2.0], headers=headers, key=gateway.key))
    assert other.infer([1.0], headers=headers, key=gateway.key).status_code == 202


def test_a_synchronous_caller_is_rejected_while_the_first_request_runs(gateway: Gateway) -> None:
    key = _key()
    waits = {**key, "Prefer": "respond-async, wait=5"}
    first = threading.Thread(target=lambda: gateway.infer([1.0], headers=waits))
    first.start()
    time.sleep(1.5)
    assert _refused(gateway.infer([2.0], headers=key))
    assert first.is_alive()
    first.join()
