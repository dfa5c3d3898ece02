"""Readers of messages, given any bytes: `ContractError` is the only error that they raise."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from straightline import contracts
from straightline.contracts import Attempt, Outcome, OutcomeBatch, Ticket, decode_request
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.parsing.error_hints import explain
from straightline.contracts.parsing.json_limits import MAX_DEPTH, MAX_DIGITS, limit_violation
from straightline.contracts.placement import decode_placement, encode_placement
from straightline.contracts.tensors.binary_tensors import (
    SIZE_PARAMETER,
    element_count,
    join_elements,
    read_body,
    split_texts,
    take_binary_outputs,
)
from straightline.contracts.tensors.v2 import decode_infer_request, decode_infer_response
from straightline.errors import ContractError
from straightline.ids import canonical
from tests.builders import make_attempt, make_body, make_heartbeat, make_outcome, make_ticket

KINDS = [
    kind
    for name in contracts.__all__
    if isinstance(kind := getattr(contracts, name), type) and issubclass(kind, msgspec.Struct)
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def objects(kind: Any) -> st.SearchStrategy[bytes]:
    """JSON objects with any value in the members of a type, so that decoding goes past the first one."""
    members = {field.encode_name: VALUES for field in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries({}, optional=members).map(encoded)


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """The body with a few bytes replaced, removed or repeated."""
    out = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(out) - 1)))
        out[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(out)


def attempt_to(read: Callable[..., Any], *arguments: Any) -> tuple[Any, ContractError | None]:
    """What a reader returns, and the error that it raises instead."""
    try:
        return read(*arguments), None
    except ContractError as error:
        return None, error


def check(body: bytes, kind: Any) -> None:
    value, error = attempt_to(decode, body, kind)
    if error is None:
        assert decode(encoded(value), kind) == value
    else:
        assert error.error_class in ("wrong_type", "malformed")
        explained = explain(error, kind)
        assert explained.startswith(str(error)) or "the text has a wrong form" in explained


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_members_of_a_contract_are_read_or_refused_and_explained(kind: Any, data: st.DataObject) -> None:
    check(data.draw(objects(kind)), kind)


@given(st.binary(max_size=64), st.sampled_from(KINDS))
def test_any_bytes_are_read_or_refused(body: bytes, kind: Any) -> None:
    check(body, kind)


@pytest.mark.parametrize(
    "value",
    [make_ticket(attempts=[make_attempt()]), make_outcome(attempts=[make_attempt()]), make_heartbeat()],
    ids=lambda value: type(value).__name__,
)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_message_is_read_or_refused(value: msgspec.Struct, data: st.DataObject) -> None:
    check(data.draw(damaged(encoded(value))), type(value))


@given(st.data())
def test_a_damaged_request_is_refused_with_its_id_if_that_can_be_read(data: st.DataObject) -> None:
    body = make_body(id="0192f0c1-0000-7000-8000-000000000001", allow=["local"], deadline=9.0)
    request, error = attempt_to(decode_request, data.draw(damaged(body)))
    found = request.id if error is None else error.request_id
    assert found == canonical(found) if found is not None else error is not None


@given(st.data())
def test_a_damaged_placement_is_read_or_refused(data: st.DataObject) -> None:
    tickets = [make_ticket(make_body(id=f"0192f0c1-0000-7000-8000-00000000000{n}")) for n in range(2)]
    body = encode_placement(tickets)
    assert decode_placement(body) == tickets
    read, error = attempt_to(decode_placement, data.draw(damaged(body)))
    assert read if error is None else error.error_class in ("wrong_type", "malformed")


@given(
    st.sampled_from([decode_infer_request, decode_infer_response]),
    st.binary(max_size=80) | VALUES.map(encoded),
)
def test_any_bytes_as_a_tensor_message_are_read_or_refused(reader: Any, body: bytes) -> None:
    _, error = attempt_to(reader, body)
    assert error is None or "V2 infer" in str(error)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(-1, 9) | st.integers() | VALUES, max_size=3),
    rest=st.binary(max_size=20),
    off_by=st.integers(-2, 2),
)
def test_a_body_with_binary_tensors_gives_each_its_bytes_or_is_refused(
    sizes: list[Any], rest: bytes, off_by: int
) -> None:
    inputs = [
        {"name": f"x{n}", "shape": [1], "datatype": "UINT8", "parameters": {SIZE_PARAMETER: size}}
        for n, size in enumerate(sizes)
    ]
    header = encoded({"inputs": inputs})
    body, error = attempt_to(read_body, header + rest, str(len(header) + off_by))
    valid = all(type(size) is int and size >= 0 for size in sizes) and sum(sizes) == len(rest)
    assert (error is None) == valid or off_by
    if body is not None:
        assert b"".join(raw or b"" for raw in body.raw) == rest
        assert [len(raw or b"") for raw in body.raw] == sizes
        assert all(SIZE_PARAMETER not in tensor.parameters for tensor in body.request.inputs)
        assert take_binary_outputs(body.request) is False


@given(st.lists(st.text(max_size=8), max_size=6), st.data())
def test_elements_come_back_as_joined_and_a_wrong_count_or_a_cut_is_refused(
    texts: list[str], data: st.DataObject
) -> None:
    raw = join_elements(text.encode() for text in texts)
    assert split_texts("x", memoryview(raw), len(texts)) == texts
    with pytest.raises(ContractError, match="tensor 'x'"):
        split_texts("x", memoryview(raw), len(texts) + data.draw(st.sampled_from([-1, 1])))
    if raw:
        cut = data.draw(st.integers(0, len(raw) - 1))
        with pytest.raises(ContractError, match="tensor 'x'"):
            split_texts("x", memoryview(raw)[:cut], len(texts))


@given(st.binary(max_size=40), st.integers(0, 5))
def test_any_bytes_as_elements_are_that_many_texts_or_refused(raw: bytes, count: int) -> None:
    texts, error = attempt_to(split_texts, "x", memoryview(raw), count)
    if error is not None:
        assert error.error_class == "wrong_inputs"
    else:
        assert len(texts) == count
        assert join_elements(text.encode() for text in texts) == raw


@given(st.lists(st.integers(-2, 100), max_size=20))
def test_a_shape_has_a_count_of_elements_or_is_refused(shape: list[int]) -> None:
    count, error = attempt_to(element_count, "x", shape)
    if error is not None:
        assert len(shape) > 16 or min(shape) < 0
    else:
        assert (count == 0) == (0 in shape)


@pytest.mark.parametrize(("opener", "closer"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_the_limit_of_nesting_is_exact(opener: bytes, closer: bytes) -> None:
    assert limit_violation(opener * MAX_DEPTH + b"1" + closer * MAX_DEPTH) is None
    deeper = limit_violation(opener * (MAX_DEPTH + 1) + b"1" + closer * (MAX_DEPTH + 1))
    assert deeper == f"it is nested deeper than {MAX_DEPTH} levels"


@given(st.integers(0, 200), st.text('[]{}"\\ab', max_size=200))
def test_brackets_side_by_side_or_in_texts_are_no_nesting(count: int, text: str) -> None:
    assert limit_violation(encoded([[]] * count + [text] * 3)) is None


def test_the_limit_of_digits_is_exact() -> None:
    assert limit_violation(b"[%s, %s]" % (b"7" * (MAX_DIGITS - 1), b"1" * (MAX_DIGITS - 1))) is None
    assert (
        limit_violation(b"[" + b"123" * MAX_DIGITS + b"]") == f"it has {MAX_DIGITS} digits or more in a row"
    )


@given(st.lists(st.builds(make_outcome, error=st.text(), state=st.sampled_from(["failed", "expired"]))))
def test_a_batch_of_outcomes_comes_back_as_it_was_encoded(outcomes: list[Outcome]) -> None:
    batch = OutcomeBatch(outcomes=outcomes)
    assert decode(encoded(batch), OutcomeBatch) == batch


@given(
    st.builds(make_attempt, wait=st.floats(0, 1e9), error=st.none() | st.text(), number=st.integers(1, 99))
)
def test_an_attempt_keeps_its_times_and_error_through_a_ticket(attempt: Attempt) -> None:
    body = encoded(make_ticket(attempts=[attempt]))
    assert decode(body, Ticket).attempts == [attempt]
