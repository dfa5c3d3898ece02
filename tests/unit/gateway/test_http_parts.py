"""The gateway's pure parts: preferences, idempotency keys, composing, the binary extension, keys' memory."""

import json
import logging
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.http.auth import KeyAuthenticator
from gateway.http.rendering import binary, problems
from gateway.http.rendering.prefer import parse_prefer
from gateway.http.rendering.problems import ApiError
from gateway.http.requests.request_service import RequestService, submission_expiry
from gateway.shared.request_builder import (
    PreparedRequest,
    id_from_idempotency_key,
    prepare_request,
    trace_context,
)
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.queries.keys import Key, digest_of
from straightline.contracts import DataRef, InferResponse, Outcome
from straightline.contracts.tensors.binary_tensors import take_binary_outputs
from straightline.contracts.tensors.v2 import InferOutput
from straightline.errors import BrokerUnavailable, ContractError
from straightline.names import RequestClass
from straightline.storage.store import Store

NOW = 1_800_000_000.0
DATA = b'{"inputs": []}'
DTYPES = {"FP32": "<f4", "FP64": "<f8", "INT64": "<i8", "UINT8": "u1", "BOOL": "?", "FP16": "<f2"}


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("wait=5", None),
        ("respond-async", 0.0),
        ("respond-async, wait=10", 10.0),
        ('wait="3" , RESPOND-ASYNC', 3.0),
        ("respond-async, wait=-1", 0.0),
        ("handling=lenient; x, ,=", None),
    ],
)
def test_a_caller_who_will_not_wait_says_how_long(header: str | None, wait: float | None) -> None:
    assert parse_prefer(header).wait == wait


def test_an_idempotency_key_is_its_owners() -> None:
    assert (
        id_from_idempotency_key("a", "k")
        == id_from_idempotency_key("a", "k")
        != id_from_idempotency_key("b", "k")
    )
    assert id_from_idempotency_key("a", None) is None
    for text in ("", "a b", "x" * 256, "ü"):
        with pytest.raises(ContractError, match="Idempotency-Key"):
            id_from_idempotency_key("a", text)


def test_what_is_refused_leaves_nothing_in_the_store() -> None:
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


@given(st.data())
def test_binary_tensors_become_json_and_back(data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from(list(DTYPES)))
    dtype = np.dtype(DTYPES[datatype])
    elements = hnp.from_dtype(dtype, allow_nan=False, allow_infinity=False)
    array = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_side=0, max_side=4), elements=elements))
    raw = array.tobytes()
    head = {
        "inputs": [
            {
                "name": "x",
                "shape": list(array.shape),
                "datatype": datatype,
                "parameters": {"binary_data_size": len(raw)},
            }
        ]
    }
    header = json.dumps(head).encode()
    request = binary.read_request(header + raw, str(len(header)))
    tensor = request.inputs[0]
    assert tensor.parameters == {}
    assert np.array_equal(np.array(json.loads(bytes(tensor.data)), dtype).reshape(array.shape), array)
    output = InferOutput(name="x", shape=tensor.shape, datatype=datatype, data=tensor.data)
    body, length = binary.write_response(InferResponse(model_name="m", outputs=[output]), binary=True)
    assert length is not None
    assert body[length:] == raw


def test_texts_are_behind_their_lengths() -> None:
    raw = b"".join(struct.pack("<I", len(text)) + text for text in (b"a", "ü".encode(), b""))
    head = {
        "inputs": [
            {"name": "t", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
        ]
    }
    header = json.dumps(head).encode()
    request = binary.read_request(header + raw, str(len(header)))
    assert json.loads(bytes(request.inputs[0].data)) == ["a", "ü", ""]
    output = InferOutput(name="t", shape=[3], datatype="BYTES", data=request.inputs[0].data)
    body, length = binary.write_response(
        InferResponse(model_name="m", outputs=[output]), binary=frozenset({"t"})
    )
    assert body[length:] == raw


@given(st.binary(max_size=300), st.integers(-5, 400))
def test_no_body_can_do_more_than_be_refused(body: bytes, length: int) -> None:
    with suppress(ContractError):
        binary.read_request(body, str(length))


@pytest.mark.parametrize(
    ("tensor", "raw", "words"),
    [
        ({"shape": [2], "datatype": "FP32"}, b"1234", "8"),
        ({"shape": [-1], "datatype": "FP32"}, b"1234", "shape"),
        ({"shape": [1] * 17, "datatype": "FP32"}, b"1234", "17 dimensions"),
        ({"shape": [2], "datatype": "BOOL"}, b"\1\2", "neither 0 nor 1"),
        ({"shape": [1], "datatype": "BF16"}, b"12", "BF16"),
        ({"shape": [1], "datatype": "FP32"}, struct.pack("<f", float("nan")), "finite"),
        ({"shape": [2], "datatype": "BYTES"}, b"\x01\x00\x00\x00a", "2 elements"),
        ({"shape": [1], "datatype": "BYTES"}, b"\x01\x00\x00\x00\xff", "UTF-8"),
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_named(tensor: dict[str, Any], raw: bytes, words: str) -> None:
    head = {"inputs": [{"name": "mine", **tensor, "parameters": {"binary_data_size": len(raw)}}]}
    header = json.dumps(head).encode()
    with pytest.raises(ContractError, match=f"mine.*{words}"):
        binary.read_request(header + raw, str(len(header)))


def test_wishes_for_binary_outputs_are_the_gateways_and_not_the_models() -> None:
    head: dict[str, Any] = {
        "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}],
        "outputs": [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}],
        "parameters": {"binary_data_output": False},
    }
    encoded = json.dumps(head).encode()
    request = binary.read_request(encoded, str(len(encoded)))
    assert take_binary_outputs(request) == frozenset({"a"})
    assert "binary" not in msgspec.json.encode(request).decode()


def key(**fields: Any) -> Key:
    return Key(id="1", name="k", scopes=("read",), created_at=0.0, **fields)


def required(keys: KeyAuthenticator, text: str = "sl_x") -> Key:
    with Flask(__name__).test_request_context(headers={"Authorization": f"Bearer {text}"}):
        return keys.require("read")


def test_a_key_that_was_known_is_good_while_the_ledger_is_away() -> None:
    answers: list[Any] = [key(), LedgerUnavailable("away")]

    def find(digest: str) -> Key | None:
        assert digest == digest_of("sl_x")
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = KeyAuthenticator(find, ttl_s=0.0)
    assert required(keys) == required(keys) == key()
    answers.append(LedgerUnavailable("away"))
    with pytest.raises(ApiError) as caught:
        required(KeyAuthenticator(lambda _: find(digest_of("sl_x")), ttl_s=0.0), "sl_x")
    assert caught.value.problem.status == 503


def test_a_ledger_that_says_nothing_holds_up_one_who_asks_for_a_known_key_and_nobody_else() -> None:
    asked, over = threading.Event(), threading.Event()
    calls: list[str] = []

    def find(digest: str) -> Key | None:
        calls.append(digest)
        if len(calls) == 1:
            return key()
        asked.set()
        over.wait(20)
        raise LedgerUnavailable("it says nothing")

    keys = KeyAuthenticator(find, ttl_s=0.01)
    required(keys)
    time.sleep(0.02)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(required, keys)
        assert asked.wait(20)
        second = callers.submit(required, keys)
        try:
            assert second.result(5) == key()
        finally:
            over.set()
        assert first.result(20) == key()


def test_a_ledger_that_is_away_is_not_asked_about_a_known_key_for_each_request() -> None:
    answers: list[Key | None] = [key()]

    def find(_digest: str) -> Key | None:
        if answers:
            return answers.pop()
        away.append(1)
        raise LedgerUnavailable("away")

    away: list[int] = []
    keys = KeyAuthenticator(find, ttl_s=30.0)
    required(keys)
    for digest, (_, known) in list(keys._known.items()):
        keys._known[digest] = (0.0, known)  # half a minute later
    for _ in range(3):
        assert required(keys) == key()
    assert len(away) == 1


@pytest.mark.parametrize("ended", [{"revoked_at": 1.0}, {"expires_at": 1.0}])
def test_a_key_that_has_ended_is_refused(ended: dict[str, float]) -> None:
    with pytest.raises(ApiError, match="revoked or expired"):
        required(KeyAuthenticator(lambda _: key(**ended), ttl_s=1.0))


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (LedgerUnavailable("away"), 503, "ledger_unavailable"),
        (LedgerNotMigrated("migrate"), 503, "ledger_not_migrated"),
        (BrokerUnavailable("away"), 503, "broker_unavailable"),
        (ContractError("much", error_class="too_large"), 413, "too_large"),
        (ContractError("wrong"), 400, "malformed"),
        (ValueError("ours"), 500, "gateway_fault"),
    ],
)
def test_what_went_wrong_has_its_status(error: Exception, status: int, word: str) -> None:
    app = Flask(__name__)
    problems.register(app)

    @app.get("/v1/fails")
    def fails() -> str:
        raise error

    answer = app.test_client().get("/v1/fails")
    assert (answer.status_code, answer.headers["X-StraightLine-Error"]) == (status, word)
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_what_the_operator_is_to_mend_is_logged_and_not_told_to_callers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask(__name__)
    problems.register(app)

    @app.get("/v1/fails")
    def fails() -> str:
        raise LedgerUnavailable("it does not answer; is STRAIGHTLINE_DATABASE_URL right?")

    with caplog.at_level(logging.WARNING):
        answer = app.test_client().get("/v1/fails")
    assert answer.json is not None
    assert answer.json["detail"] == "the gateway's database is unavailable: try again"
    assert "is STRAIGHTLINE_DATABASE_URL right?" in caplog.text


def test_a_result_that_was_swept_is_gone_and_its_cure_is_told(tmp_path: Path) -> None:
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
def test_a_note_is_kept_as_long_as_its_request_may_live(
    class_: RequestClass, deadline: float | None, seconds: float
) -> None:
    assert submission_expiry(PreparedRequest("1", "m", b"", class_, NOW, deadline)) == NOW + seconds
