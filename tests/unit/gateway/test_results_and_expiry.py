"""Results loaded from the store, and the expiry of submissions."""

from pathlib import Path
from typing import Any

import pytest

from gateway.http.rendering.problems import ApiError
from gateway.http.requests.request_service import RequestService, submission_expiry
from gateway.shared.request_builder import (
    PreparedRequest,
)
from straightline.contracts import Outcome
from straightline.names import RequestClass
from straightline.storage.store import Store

NOW = 1_800_000_000.0


def test_a_removed_result_is_gone_with_advice(tmp_path: Path) -> None:
    unused: Any = None
    store = Store(f"file://{tmp_path}")
    service = RequestService(
        broker=unused,
        ledger=unused,
        submissions=unused,
        store=store,
        idempotency=unused,
        timeout_s=60.0,
        inline_limit=99,
    )
    reference = store.put(b"{}")
    outcome = Outcome(request_id="1", state="succeeded", finished_at=NOW, result_ref=reference)
    assert bytes(service.load_result(outcome).result) == b"{}"
    store.remove(reference)
    with pytest.raises(ApiError, match="retention") as gone:
        service.load_result(outcome)
    assert gone.value.problem.status == 410


@pytest.mark.parametrize(
    ("class_", "deadline", "seconds"),
    [
        ("interactive", None, 60.0),
        ("batch", None, 86_400.0),
        ("interactive", NOW + 5, 5.0),
        ("batch", NOW + 1e9, 2 * 86_400.0),
    ],
)
def test_a_submission_expires_with_its_deadline(
    class_: RequestClass, deadline: float | None, seconds: float
) -> None:
    assert submission_expiry(PreparedRequest("1", "m", b"", class_, NOW, deadline)) == NOW + seconds
