"""Text for a terminal."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from straightline.support.terminal import facts, moment, percent, printable, seconds, table


def test_a_table_is_aligned() -> None:
    rows = [("name", "n", "errors"), ("a", "10000", "x 1"), ("longer", "7", "")]
    assert table(rows).splitlines() == ["name        n  errors", "a       10000  x 1", "longer      7"]
    assert table(rows, left=(0, 1, 2)).splitlines()[2] == "longer  7"


def test_facts_without_a_value_are_left_out() -> None:
    assert facts([("a", "1"), ("model", ""), ("bc", "2"), ("x", None)]) == ["  a   1", "  bc  2"]
    assert facts([]) == []


@given(st.text())
def test_nothing_that_is_printed_steers_the_terminal(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in printable(text))
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize("time", [1e300, -1e300, math.nan, math.inf])
def test_an_impossible_time_is_shown_all_the_same(time: float) -> None:
    assert "since the epoch" in (moment(time) or "")


def test_times_and_shares_are_short() -> None:
    assert moment(0.25) == "1970-01-01 00:00:00.250 UTC"
    assert moment(None) is None
    assert (seconds(0.0124), seconds(12.345)) == ("12.4 ms", "12.35 s")
    assert (percent(0.256789), percent(None)) == ("25.68%", "-")
