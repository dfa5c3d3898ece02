"""What `decode_request` lets in and what it keeps out."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from straightline.contracts import DataRef, Request, decode_request
from straightline.contracts.request import NO_DATA
from straightline.errors import ContractError
from straightline.ids import new_id
from straightline.names import BACKENDS

ID = "0193c9a2-7c5e-7b3e-8a51-1f6f2d1c9a10"
DATA = {"inputs": [{"name": "images", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 16]}]}

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True)
times = st.floats(min_value=0, max_value=1e11, allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
references = st.builds(
    DataRef,
    uri=st.just("file:///store/aa/b"),
    size=st.integers(0, 2**40),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    by_reference = draw(st.booleans())
    return Request(
        id=str(draw(st.uuids())),
        model=draw(names),
        submitted_at=draw(times),
        version=draw(st.none() | names),
        class_=draw(st.sampled_from(["interactive", "batch"])),
        deadline=draw(st.none() | times),
        allow=draw(st.none() | st.lists(st.sampled_from(BACKENDS), min_size=1, max_size=8).map(tuple)),
        batch_id=draw(st.none() | texts),
        data=NO_DATA if by_reference else msgspec.Raw(msgspec.json.encode(draw(json_values))),
        data_ref=draw(references) if by_reference else None,
    )


def body(**members: object) -> bytes:
    return json.dumps({"id": ID, "model": "digits", "submitted_at": 1.0, "data": DATA} | members).encode()


def refusal(text: bytes, **options: object) -> ContractError:
    with pytest.raises(ContractError) as caught:
        decode_request(text, **options)  # type: ignore[arg-type]
    return caught.value


@given(requests())
def test_a_valid_request_survives_a_round_trip(request: Request) -> None:
    again = decode_request(msgspec.json.encode(request))
    assert bytes(again.data) == bytes(request.data)
    assert msgspec.structs.replace(again, data=request.data) == request


@given(st.binary(max_size=400))
@example(b"")
@example(b"\xff\xfe")
@example(b"[" * 100_000)
@example(b'{"id":' * 50_000)
@example(b'{"data":' + b"[" * 100_000)
@example(b"\x00")
@example(b"null")
@example(b'{"id": 1e400}')
def test_arbitrary_bytes_raise_nothing_but_a_contract_error(text: bytes) -> None:
    refusal(text)


@given(st.dictionaries(st.sampled_from([*Request.__struct_fields__, "class", "x"]), json_values, max_size=8))
def test_arbitrary_json_raises_nothing_but_a_contract_error(members: dict[str, object]) -> None:
    text = json.dumps({"id": ID, "model": "digits", "submitted_at": 1.0} | members).encode()
    with contextlib.suppress(ContractError):
        decode_request(text)


@given(st.data())
def test_a_damaged_request_raises_nothing_but_a_contract_error(data: st.DataObject) -> None:
    text = bytearray(body())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ContractError):
        decode_request(bytes(text))


@pytest.mark.parametrize(
    "poison",
    ["NaN", "Infinity", "-Infinity", "1e400", "-1", '"yesterday"', "null", "[]", "1" + "0" * 400],
)
def test_a_submitted_at_that_is_no_time_is_refused(poison: str) -> None:
    error = refusal(body().replace(b"1.0", poison.encode()))
    assert error.error_class in {"wrong_type", "malformed"}


@pytest.mark.parametrize("poison", [b"NaN", b"1e400", b'"soon"', b"[1]"])
def test_a_deadline_that_is_no_time_is_refused(poison: bytes) -> None:
    refusal(body(deadline=7.5).replace(b"7.5", poison))


@pytest.mark.parametrize("name", ["", "a" * 129, "..", "../x", "a/b", "a\x00b", "ä", "\ud800", "a b", "a\n"])
def test_a_model_name_that_could_hurt_a_path_or_a_query_is_refused(name: str) -> None:
    assert refusal(body(model=name)).request_id in {ID, None}


@pytest.mark.parametrize(
    "text",
    [b'"a\xff"', b'"\xed\xa0\x80"', b'"\\ud800"', b'"\xc0\x80"'],
    ids=["byte", "surrogate", "escaped", "long"],
)
def test_a_batch_id_that_is_not_unicode_is_refused_or_replaced(text: bytes) -> None:
    """What is let in must be text that can be written again."""
    try:
        request = decode_request(body(batch_id="X").replace(b'"X"', text))
    except ContractError:
        return
    assert (request.batch_id or "").encode()


def test_of_a_repeated_member_the_last_one_counts() -> None:
    assert decode_request(body()[:-1] + b', "model": "other"}').model == "other"


def test_an_unknown_member_is_let_be() -> None:
    assert decode_request(body(colour="red")).model == "digits"


def test_an_id_is_brought_into_its_canonical_form() -> None:
    assert decode_request(body(id=ID.upper().replace("-", ""))).id == ID


@pytest.mark.parametrize("identity", ["", "1", "x" * 36, ID + " ", "urn:x", 7, None, ["a"]])
def test_an_id_that_is_no_uuid_is_refused_and_the_message_id_names_the_request(identity: object) -> None:
    named = new_id()
    error = refusal(body(id=identity), message_id=named)
    assert error.request_id == named


def test_a_request_with_data_and_a_reference_or_neither_is_refused() -> None:
    reference = {"uri": "file:///x", "size": 1, "sha256": "0" * 64}
    assert "either data or data_ref" in str(refusal(body(data_ref=reference)))
    assert "either data or data_ref" in str(
        refusal(json.dumps({"id": ID, "model": "m", "submitted_at": 1}).encode())
    )


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    error = refusal(b"[" * 101, max_body=100, message_id=ID)
    assert (error.error_class, error.request_id) == ("too_large", ID)
    assert "by reference" in str(error)


def test_a_refusal_keeps_the_id_that_could_be_read() -> None:
    assert refusal(body(model=7)).request_id == ID


def test_of_too_large_a_refusal_the_message_stays_short() -> None:
    assert len(str(refusal(body(model="x" * 100_000)))) < 500


@pytest.mark.parametrize("inner", [b'"\xff"', b'"\xed\xa0\x80"', b'{"\xc0\x80": 1}', b'"\xe2(\xa1"'])
def test_data_that_is_not_utf8_is_refused(inner: bytes) -> None:
    error = refusal(body(data="X").replace(b'"X"', inner))
    assert "UTF-8" in str(error)
    assert error.request_id == ID


@pytest.mark.parametrize("inner", [b"NaN", b'"\x00"', b'"\\ud800"', b"01", b"[1,]", b"Infinity"])
def test_data_that_is_not_json_is_refused(inner: bytes) -> None:
    refusal(body(data="X").replace(b'"X"', inner))


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b"[[],", b"]")])
def test_data_nested_deeper_than_any_tensor_is_refused(opening: bytes, closing: bytes) -> None:
    error = refusal(body(data="X").replace(b'"X"', opening * 70 + b"1" + closing * 70))
    assert "nested" in str(error)


def test_brackets_inside_strings_and_many_rows_are_no_nesting() -> None:
    decode_request(body(data=["[" * 500, 'a"]\\"[[' * 200]))
    decode_request(body(data=[[row] for row in range(5_000)]))


def test_a_number_that_python_would_not_read_is_refused() -> None:
    assert "digits" in str(refusal(body(data="X").replace(b'"X"', b"9" * 5_000)))


@given(requests())
def test_an_accepted_request_can_be_decoded_by_pythons_json(request: Request) -> None:
    json.loads(msgspec.json.encode(request))


@given(json_values)
def test_reading_the_data_raises_nothing_but_a_contract_error(value: object) -> None:
    with contextlib.suppress(ContractError):
        decode_request(body(data=value)).infer_request()
