"""Refusals of a backend: which pass with time, and which never do."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.placement.feasibility import (
    exceeds_payload_limit,
    infeasible,
    only_excluded_left,
    permanent_refusal,
    queue_exceeds_deadline,
    transient_refusal,
)
from scheduler.placement.model import ALL, BackendState, Features, State
from straightline.names import Backend

REQUEST = Features("digits", f_t=1.0, r_d=100, time_left=10.0)
UP = BackendState(free=1)
DOWN = BackendState(down="its worker is silent")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"backends": ("serverless",)}, "is not made for it, or not deployed there"),
        ({"allow": ("serverless", "gpu-container")}, "allow list"),
        ({"excluded": ("local",)}, "an earlier attempt failed there"),
        ({"limits": {"local": 99}}, "100 bytes are over the model's limit of 99"),
        ({"limits": {"local": 100}}, None),
        ({"limits": {"serverless": 1}}, None),
        ({"allow": ("local",)}, None),
    ],
)
def test_what_never_changes_is_refused_for_good(changes: dict[str, Any], refusal: str | None) -> None:
    found = permanent_refusal("local", REQUEST._replace(**changes))
    assert found is None if refusal is None else refusal in (found or "")


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (None, "no pool reports"),
        (DOWN, "its worker is silent"),
        (BackendState(models=frozenset({"other"})), "model digits is not deployed there"),
        (BackendState(max_payload=99), "100 bytes are over its limit of 99"),
        (BackendState(best_cases={"digits": 10.1}), "10.000 s to the deadline, its best case is 10.100 s"),
        (BackendState(busy=101, rate=10.0), "101 wait there and 10.0/s are answered, it has 10.0 s"),
        (BackendState(models=frozenset({"digits"}), max_payload=100), None),
        (BackendState(best_cases={"digits": 10.0, "other": 99.0}), None),
        (BackendState(busy=100, rate=10.0), None),
        (BackendState(busy=10**9), None),
    ],
)
def test_what_may_change_is_refused_for_now(state: BackendState | None, refusal: str | None) -> None:
    assert transient_refusal(REQUEST, state) == refusal


def test_the_longest_wait_of_a_request_counts_beside_its_deadline() -> None:
    queue = BackendState(busy=50, rate=10.0)
    assert queue_exceeds_deadline(REQUEST, queue) is None
    assert "it has 4.9 s" in (queue_exceeds_deadline(REQUEST._replace(max_wait=4.9), queue) or "")


def test_a_payload_limit_counts_only_of_a_backend_that_is_up() -> None:
    assert exceeds_payload_limit(REQUEST, BackendState(max_payload=99))
    assert not exceeds_payload_limit(REQUEST, BackendState(max_payload=99, down="closing"))
    assert not exceeds_payload_limit(REQUEST, None)


def test_a_hold_helps_as_long_as_one_backend_may_come_back() -> None:
    small: State = {backend: BackendState(max_payload=1) for backend in ALL}
    assert infeasible(REQUEST, small)
    assert not infeasible(REQUEST, {**small, "local": DOWN})
    assert infeasible(REQUEST._replace(allow=("serverless",)), {**small, "local": UP})


@pytest.mark.parametrize(
    ("others", "again"),
    [
        ({}, True),
        ({"local": DOWN}, True),
        ({"local": BackendState(max_payload=9)}, True),
        ({"local": UP}, False),
        ({"local": BackendState(free=0, busy=99)}, False),
    ],
)
def test_an_excluded_backend_is_tried_again_unless_another_one_is_up(others: State, again: bool) -> None:
    features = REQUEST._replace(excluded=("serverless", "gpu-container"))
    assert only_excluded_left(features, {"serverless": UP, **others}) is again
    assert not only_excluded_left(REQUEST, others)


states = st.builds(
    BackendState,
    down=st.none() | st.just("down"),
    models=st.none() | st.sampled_from([frozenset({"digits"}), frozenset[str]()]),
    max_payload=st.none() | st.sampled_from([50, 100, 200]),
    busy=st.integers(0, 300),
    rate=st.none() | st.floats(0.1, 100),
)


@given(
    state=st.dictionaries(st.sampled_from(ALL), states),
    excluded=st.sets(st.sampled_from(ALL)),
    allow=st.none() | st.lists(st.sampled_from(ALL), min_size=1),
)
def test_an_infeasible_request_is_refused_by_every_backend_and_stays_so_while_they_are_up(
    state: dict[Backend, BackendState], excluded: set[Backend], allow: list[Backend] | None
) -> None:
    features = REQUEST._replace(excluded=tuple(excluded), allow=None if allow is None else tuple(allow))
    if infeasible(features, state):
        idle = {name: each._replace(busy=0, models=None) for name, each in state.items()}
        for moment in (state, idle):
            assert all(
                permanent_refusal(name, features) or transient_refusal(features, moment.get(name))
                for name in ALL
            )
            assert infeasible(features, moment)
