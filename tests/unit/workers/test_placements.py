"""A task message is understood wholly or refused; nothing in between, and nothing raises past it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from straightline.errors import ContractError
from straightline.names import PREDICT_TASK
from workers.domain.placements import MAX_REPR_CHARS, Placement, Work, read_placement

HEADERS = {"task": PREDICT_TASK, "id": "5", "argsrepr": "1 of double"}
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def read(body: Any, headers: Any = None) -> Placement:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return read_placement(HEADERS if headers is None else headers, "application/json", "utf-8", content)


def test_a_placement_is_decoded_with_its_requests(make_work: Callable[..., Work]) -> None:
    work = [make_work(), make_work()]
    placement = read([[[item.ticket for item in work]], {}, EMBED])
    assert placement.work == work
    assert (placement.id, placement.argsrepr) == ("5", "1 of double")


def test_an_id_has_one_form_however_its_producer_writes_it(make_work: Callable[..., Work]) -> None:
    """The scheduler's slots and cancellations use the canonical form."""
    work = make_work(id="0190F3B6-7C1D-7A2E-8B3F-00112233AABB")
    placement = read([[[work.ticket]], {}, EMBED])
    assert [item.request.id for item in placement.work] == ["0190f3b6-7c1d-7a2e-8b3f-00112233aabb"]


def test_a_request_without_an_id_is_refused(make_work: Callable[..., Work]) -> None:
    with pytest.raises(ContractError):
        read([[[make_work(id="mine").ticket]], {}, EMBED])


def test_a_missing_argsrepr_is_made_from_the_requests(make_work: Callable[..., Work]) -> None:
    placement = read([[[make_work().ticket]], {}, EMBED], {"task": PREDICT_TASK, "id": "5"})
    assert placement.argsrepr == "1 requests of double"


def test_a_long_argsrepr_is_cut(make_work: Callable[..., Work]) -> None:
    placement = read([[[make_work().ticket]], {}, EMBED], HEADERS | {"argsrepr": "x" * 10_000})
    assert len(placement.argsrepr) == MAX_REPR_CHARS


@given(JSON)
def test_other_json_is_not_a_placement(body: Any) -> None:
    with pytest.raises(ContractError):
        read(body)


@given(st.binary(max_size=200))
def test_other_bytes_are_not_a_placement(body: bytes) -> None:
    with pytest.raises(ContractError):
        read(body)


@given(st.dictionaries(st.sampled_from(["id", "task", "timelimit", "eta", "expires"]), JSON, max_size=5))
def test_malformed_headers_are_refused_or_harmless(headers: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        read(b"[[[]], {}, null]", headers)


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [(None, "utf-8"), ("application/x-python-serialize", "binary"), ("application/json", "latin-1")],
)
def test_only_json_in_utf8_is_decoded(
    make_work: Callable[..., Work], content_type: str | None, encoding: str
) -> None:
    with pytest.raises(ContractError):
        read_placement(
            HEADERS, content_type, encoding, msgspec.json.encode([[[make_work().ticket]], {}, EMBED])
        )


def test_the_error_does_not_repeat_the_body() -> None:
    with pytest.raises(ContractError) as caught:
        read(b'[[[{"request": "secret words"}]], {}, {}]')
    assert "secret" not in str(caught.value)
