"""From what a producer says to the message that is sent."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from straightline.contracts import DataRef, decode_request
from straightline.contracts.request import MAX_BODY_BYTES, MAX_INLINE_BYTES
from straightline.errors import ContractError, Rejected
from straightline.producer.submission import Submission, compose, encode_data, submission_of

NOW = 1_700_000_000.0
DATA: dict[str, Any] = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}


class FakeStore:
    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def put(self, data: bytes, owner: str | None = None) -> DataRef:
        self.kept.append(data)
        return DataRef(uri="memory://x/y", size=len(data), sha256="0" * 64)


def padded(size: int) -> dict[str, Any]:
    return DATA | {"parameters": {"padding": "x" * size}}


def test_the_body_is_a_request_that_the_system_reads() -> None:
    draft = compose(Submission(model="digits", data=DATA, deadline=5), store=None, now=NOW)
    read = decode_request(draft.body)
    assert (read.id, read.submitted_at, read.deadline) == (draft.request.id, NOW, NOW + 5)
    assert msgspec.json.decode(read.data) == DATA


def test_every_request_has_an_id_of_its_own_that_sorts_by_time() -> None:
    ids = {compose(Submission(model="m", data=DATA), store=None, now=NOW).request.id for _ in range(100)}
    assert len(ids) == 100
    assert {identity[14] for identity in ids} == {"7"}


def test_data_is_inline_up_to_the_limit_and_stored_above_it() -> None:
    store = FakeStore()
    room = MAX_INLINE_BYTES - len(encode_data(padded(0)))
    draft = compose(Submission(model="m", data=padded(room)), store=store, now=NOW)
    assert draft.request.data
    assert not store.kept
    draft = compose(Submission(model="m", data=padded(room + 1)), store=store, now=NOW)
    assert not decode_request(draft.body).data
    assert store.kept == [encode_data(padded(room + 1))]
    assert draft.request.size == MAX_INLINE_BYTES + 1


def test_a_refused_request_leaves_nothing_in_the_store() -> None:
    store = FakeStore()
    with pytest.raises(ContractError):
        compose(Submission(model="", data=padded(MAX_INLINE_BYTES)), store=store, now=NOW)
    assert not store.kept


def test_without_a_store_the_limit_is_that_of_a_message() -> None:
    with pytest.raises(Rejected, match="Client\\(url, store="):
        compose(Submission(model="m", data=padded(MAX_BODY_BYTES)), store=None, now=NOW)


@pytest.mark.parametrize("deadline", [0, -1, math.nan, math.inf, "5", [], 10**400, 1_795_605_000.0])
def test_a_deadline_that_is_no_time_ahead_is_refused(deadline: Any) -> None:
    with pytest.raises(ContractError, match="deadline"):
        compose(Submission(model="m", data=DATA, deadline=deadline), store=None, now=NOW)


@pytest.mark.parametrize("allow", [["moon"], ["local", 7], [["local"]], "local"])
def test_an_unknown_backend_is_refused_with_the_valid_ones(allow: Any) -> None:
    with pytest.raises(ContractError, match="serverless, gpu-container, local"):
        compose(Submission(model="m", data=DATA, allow=allow), store=None, now=NOW)


@pytest.mark.parametrize(
    "data", [None, 7, [], {}, "", "{", b"\xff", {"inputs": 1}, {"inputs": [object()]}, {1: 2}]
)
def test_data_that_is_no_infer_request_is_refused(data: Any) -> None:
    with pytest.raises(ContractError):
        encode_data(data)


def test_data_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {"inputs": []}
    loop["inputs"].append(loop)
    with pytest.raises(ContractError):
        encode_data(loop)


@pytest.mark.parametrize("word", ["class", "class_"])
def test_a_mapping_may_say_class_as_on_the_wire(word: str) -> None:
    assert submission_of({"model": "m", "data": DATA, word: "batch"}).class_ == "batch"


@pytest.mark.parametrize("item", [{}, {"model": "m"}, {"model": "m", "data": DATA, "x": 1}, 7, None, "m"])
def test_an_invalid_submission_is_refused(item: Any) -> None:
    with pytest.raises(ContractError, match="Submission"):
        submission_of(item)


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.text())


@given(
    st.fixed_dictionaries(
        {"model": anything, "data": st.just(DATA)},
        optional=dict.fromkeys(("version", "class_", "deadline", "allow", "id", "batch_id"), anything),
    )
)
def test_arguments_of_any_kind_raise_nothing_but_errors_of_ours(arguments: dict[str, Any]) -> None:
    try:
        body = compose(submission_of(arguments), store=None, now=NOW).body
    except ContractError:
        return
    decode_request(body)
