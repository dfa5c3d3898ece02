"""Values that Postgres cannot store are changed as little as possible, and broken JSON is read in parts."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcomes.resolutions.raw_json import items, member, nonempty_text, string
from outcomes.rows import sanitize
from tests.builders import make_reason

ANY_TEXT = st.text(st.characters())


@given(ANY_TEXT)
def test_any_text_becomes_utf8_without_nul_and_an_ordinary_one_stays(value: str) -> None:
    stored = sanitize.text(value)
    assert stored is not None
    assert "\x00" not in stored
    assert stored.encode().decode() == stored
    assert sanitize.text(stored) == stored
    if "\x00" not in value and not any("\ud800" <= char <= "\udfff" for char in value):
        assert stored == value


@given(st.integers(), st.sampled_from([16, 32, 64]))
def test_an_integer_is_clamped_to_the_nearest_one_in_range(value: int, bits: int) -> None:
    stored = sanitize.integer(value, bits)
    assert stored is not None
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    assert lowest <= stored <= highest
    assert stored == value or value < lowest == stored or value > highest == stored


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_would_spoil_an_average_are_dropped(value: float) -> None:
    assert sanitize.number(value) is None
    assert sanitize.time(value) is None


@pytest.mark.parametrize(
    ("value", "stored"),
    [(0.0, 0.0), (-0.001, None), (sanitize.MAX_TIME_S, sanitize.MAX_TIME_S), (sanitize.MAX_TIME_S + 1, None)],
)
def test_a_time_outside_of_what_datetime_holds_is_dropped(value: float, stored: float | None) -> None:
    assert sanitize.time(value) == stored


@given(ANY_TEXT)
def test_an_indexed_text_keeps_its_beginning(value: str) -> None:
    stored = sanitize.key(value)
    assert stored is not None
    assert value.startswith(stored)
    assert len(stored) == min(len(value), sanitize.MAX_KEY_CHARS)


@given(st.dictionaries(st.text(max_size=3), ANY_TEXT, max_size=3))
def test_a_structure_with_any_texts_becomes_json_of_the_same_form(refused: dict[str, str]) -> None:
    stored = sanitize.json_column(make_reason(refused=refused))
    assert stored is not None
    read: dict[str, Any] = json.loads(stored)
    assert read["rule"] == 3
    assert read.get("refused", {}).keys() == refused.keys()


def test_an_absent_value_stays_absent() -> None:
    columns = (sanitize.text, sanitize.key, sanitize.number, sanitize.time, sanitize.json_column)
    assert [column(None) for column in columns] == [None] * 5
    assert sanitize.integer(None, 32) is None


@given(st.binary(max_size=40))
def test_any_bytes_have_members_and_items_or_none(body: bytes) -> None:
    assert isinstance(member(body, "id"), bytes)
    assert all(isinstance(item, bytes) for item in items(body))
    assert string(body) is None or msgspec.json.encode(string(body)).decode()


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.integers()), min_size=1), st.data())
def test_a_member_is_returned_as_it_was_written(value: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(value)))
    body = json.dumps(value).encode()
    assert json.loads(member(body, name)) == value[name]
    assert member(body, name + "?") == b"" or name + "?" in value
    assert [json.loads(item) for item in items(b"[%b, %b]" % (body, body))] == [value, value]


@pytest.mark.parametrize("value", ["", None, 7, b"x", ["x"]])
def test_a_header_that_is_no_text_counts_as_absent(value: object) -> None:
    assert nonempty_text(value) is None
