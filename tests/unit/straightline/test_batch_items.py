"""A line of a batch job is read as one request, or refused with a reason; a failed one can be asked again."""

import io
import json
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from straightline.batch.items import Defaults, LineFailure, failed_line, parse_line
from straightline.batch.lines import line_at, lines
from straightline.batch.rate import RateMeter, format_duration, progress_line
from straightline.errors import ContractError
from straightline.ids import canonical, id_of_line, new_id

V2: dict[str, Any] = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
DEFAULTS = Defaults(model="digits", version="2", deadline=60.0)


def read(content: Any, defaults: Defaults = DEFAULTS) -> Any:
    return parse_line(json.dumps(content).encode(), defaults)


@pytest.mark.parametrize("member", ["data", "body"])
def test_a_line_overrides_the_jobs_defaults(member: str) -> None:
    item = read({"custom_id": "a", "model": "other", member: V2, "allow": ["local"]})
    assert (item.custom_id, item.model, item.version, item.deadline) == ("a", "other", None, 60.0)
    assert (item.allow, json.loads(item.data)) == (("local",), V2)


def test_a_bare_request_is_a_line_too() -> None:
    item = read({"id": "mine", **V2})
    assert (item.custom_id, item.model, item.version) == ("mine", "digits", "2")
    assert json.loads(item.data)["inputs"] == V2["inputs"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1], "not a valid request"),
        ({"custom_id": "a"}, "needs exactly one V2 infer request"),
        ({"data": V2, "body": V2}, "exactly one"),
        ({"custom_id": 7, "data": V2}, "custom_id"),
        ({"custom_id": "", "data": V2}, "custom_id"),
        ({"custom_id": "x" * 513, "data": V2}, "custom_id"),
        ({"data": V2, "modell": "m"}, "modell"),
        ({"data": V2, "allow": ["moon"]}, "moon"),
    ],
)
def test_an_invalid_line_is_refused_with_the_fix(content: Any, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        read(content)


def test_a_line_without_a_model_needs_the_jobs() -> None:
    with pytest.raises(ContractError, match="names no model"):
        read({"data": V2}, Defaults())


def test_a_failed_line_can_be_submitted_again() -> None:
    first = {"custom_id": "a", "data": V2, "deadline": 5.0}
    text = failed_line(
        LineFailure(7, "failed", "model_error", "it stumbled", "id"), json.dumps(first).encode(), DEFAULTS
    )
    assert json.loads(text)["error"] == {
        "line": 7,
        "state": "failed",
        "error_class": "model_error",
        "message": "it stumbled",
        "id": "id",
    }
    assert parse_line(text, Defaults()) == read(first)


def test_a_line_that_is_no_json_is_shown() -> None:
    text = failed_line(LineFailure(1, "refused", "malformed", "no JSON"), b'{"custom_id": \xff', DEFAULTS)
    assert json.loads(text)["text"].startswith('{"custom_id"')
    with pytest.raises(ContractError, match="replace it with the corrected line"):
        parse_line(text, DEFAULTS)


def test_an_invalid_line_submitted_again_uncorrected_is_still_reported() -> None:
    said = "{ this is no JSON"
    for _ in range(3):
        with pytest.raises(ContractError) as refused:
            parse_line(said.encode(), DEFAULTS)
        why = LineFailure(1, "refused", refused.value.error_class, str(refused.value))
        line = failed_line(why, said.encode(), DEFAULTS)
        assert json.loads(line)["text"] == "{ this is no JSON"
        said = line.decode().strip()
    assert "replace it with the corrected line" in json.loads(said)["error"]["message"]


@example([b"\xef\xbb\xbf"], False)
@example([b"\xef\xbb\xbf{}", b"\xef\xbb\xbf{}"], True)
@given(st.lists(st.binary().map(lambda text: text.replace(b"\n", b""))), st.booleans())
def test_lines_are_found_again_where_they_were(texts: list[bytes], ends: bool) -> None:
    source = io.BytesIO(b"\n".join(texts) + (b"\n" if ends else b""))
    found = list(lines(source))
    if texts:  # a byte order mark before the first line is no part of it
        texts = [texts[0].removeprefix(b"\xef\xbb\xbf"), *texts[1:]]
    wanted = [(number, text.strip()) for number, text in enumerate(texts, 1)]
    assert [(line.number, line.text) for line in found] == [each for each in wanted if each[1]]
    for line in found:
        assert line_at(source, line.number, line.offset) == line


def test_a_line_above_the_bound_is_passed_over() -> None:
    source = io.BytesIO(b"x" * 5000 + b"\nshort\n" + b"y" * 100)
    assert [(line.number, line.size, line.too_long) for line in lines(source, longest=50)] == [
        (1, 5001, True),
        (2, 6, False),
        (3, 100, True),
    ]


def test_a_file_that_was_changed_is_noticed() -> None:
    with pytest.raises(LookupError):
        line_at(io.BytesIO(b"\n\nab\n"), 1, 0)


def test_the_ids_of_lines_are_one_for_each_and_always_the_same() -> None:
    job = new_id()
    numbers = [1, 2, 1000, 2**20 - 1, 2**20, 2**31, 2**32 - 1]
    made = [id_of_line(job, number) for number in numbers]
    assert made == [id_of_line(job, number) for number in numbers]
    assert made == sorted(set(made))
    assert {uuid.UUID(each).version for each in made} == {7}
    assert {each[:13] for each in made} == {job[:13]}
    assert made == [canonical(each) for each in made]
    assert not set(made) & {id_of_line(new_id(), number) for number in numbers}


def test_the_pace_says_when_it_will_be_done() -> None:
    pace = RateMeter(1000)
    pace.add(0.0, 0, 0)
    pace.add(10.0, 100, 500)
    assert (pace.rate, pace.share, pace.left) == (10.0, 0.5, 10.0)
    text = progress_line(pace, lines=100, failed=2, trouble=None)
    assert " ".join(text.split()) == "50% 100 lines 10/s failed 2 10 s left"
    assert "waiting: no broker" in progress_line(pace, lines=100, failed=2, trouble="no broker")


@pytest.mark.parametrize(("seconds", "text"), [(59, "59 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")])
def test_durations_are_shown_in_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
