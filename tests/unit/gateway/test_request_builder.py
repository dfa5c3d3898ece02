"""Requests built from members, keys and headers."""

import json

import msgspec
import pytest

from gateway.shared.request_builder import (
    id_from_idempotency_key,
    prepare_request,
    trace_context,
)
from straightline.contracts import DataRef
from straightline.errors import ContractError

NOW = 1_800_000_000.0


def test_equal_keys_of_two_callers_give_different_ids() -> None:
    assert (
        id_from_idempotency_key("a", "k")
        == id_from_idempotency_key("a", "k")
        != id_from_idempotency_key("b", "k")
    )
    assert id_from_idempotency_key("a", None) is None
    for text in ("", "a b", "x" * 256, "ü"):
        with pytest.raises(ContractError, match="Idempotency-Key"):
            id_from_idempotency_key("a", text)


def test_a_rejected_request_leaves_nothing_in_the_store() -> None:
    stored: list[bytes] = []

    def put(data: bytes) -> DataRef:
        stored.append(data)
        return DataRef(uri="file:///x", size=len(data), sha256="0" * 64)

    large = {"model": "m", "data": msgspec.Raw(b'{"inputs": [], "id": "' + b"x" * 50 + b'"}')}
    with pytest.raises(ContractError):
        prepare_request({**large, "model": 1}, now=NOW, inline_limit=10, put=put, deadline=None)
    assert stored == []
    composed = prepare_request(large, now=NOW, inline_limit=10, put=put, deadline=NOW + 5)
    sent = json.loads(composed.body)
    assert (sent["data_ref"]["uri"], sent["deadline"], sent["submitted_at"]) == ("file:///x", NOW + 5, NOW)
    assert "data" not in sent


def test_trace_headers_are_found_in_any_case() -> None:
    assert trace_context({"Traceparent": "00-1", "X": "y"}) == {"traceparent": "00-1"}
