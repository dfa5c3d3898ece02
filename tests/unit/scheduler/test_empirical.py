"""The placing algorithm: each branch, feasibility before every branch, and what must hold for any input."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.placement.baselines import round_robin, single
from scheduler.placement.empirical import place
from scheduler.placement.model import ALL, BackendState, Features, Thresholds
from straightline.names import Backend

THRESHOLDS = Thresholds(F=50.0, D=1_000)
FREE = {backend: BackendState(free=4) for backend in ALL}
SMALL = Features("digits", f_t=1.0, r_d=100, time_left=60.0)


def with_state(**changes: BackendState) -> dict[Backend, BackendState]:
    names: dict[str, Backend] = {"local": "local", "gpu": "gpu-container", "serverless": "serverless"}
    return FREE | {names[name]: state for name, state in changes.items()}


def test_many_small_requests_go_to_serverless_by_rule_1() -> None:
    placement = place(SMALL._replace(f_t=50.1), FREE, THRESHOLDS)
    assert (placement.backend, placement.rule) == ("serverless", 1)


def test_a_frequency_of_just_f_is_not_above_it() -> None:
    assert place(SMALL._replace(f_t=50.0), FREE, THRESHOLDS).rule == 3


def test_data_of_just_d_bytes_counts_as_large_whatever_the_frequency() -> None:
    placement = place(SMALL._replace(f_t=500.0, r_d=1_000), FREE, THRESHOLDS)
    assert (placement.backend, placement.rule) == ("gpu-container", 2)
    assert place(SMALL._replace(f_t=500.0, r_d=999), FREE, THRESHOLDS).rule == 1


def test_large_data_queues_for_a_busy_container() -> None:
    busy = with_state(gpu=BackendState(free=0))
    assert place(SMALL._replace(r_d=5_000), busy, THRESHOLDS).rule == 2


def test_few_small_requests_go_local_then_to_a_container_then_to_serverless() -> None:
    assert place(SMALL, FREE, THRESHOLDS).rule == 3
    assert place(SMALL, with_state(local=BackendState(free=0)), THRESHOLDS).rule == 4
    both_busy = with_state(local=BackendState(free=0), gpu=BackendState(free=0))
    placement = place(SMALL, both_busy, THRESHOLDS)
    assert (placement.backend, placement.rule, placement.s_f, placement.s_d) == (
        "serverless",
        5,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("features", "state", "why"),
    [
        (SMALL._replace(f_t=99.0, backends=("local",)), FREE, "not made for it, or not deployed there"),
        (SMALL._replace(f_t=99.0, allow=("local", "gpu-container")), FREE, "allow list"),
        (SMALL._replace(f_t=99.0, excluded=("serverless",)), FREE, "earlier attempt"),
        (SMALL._replace(f_t=99.0, limits={"serverless": 99}), FREE, "model's limit of 99"),
        (SMALL._replace(f_t=99.0), with_state(serverless=BackendState("throttled")), "throttled"),
        (SMALL._replace(f_t=99.0), with_state(serverless=BackendState(max_payload=99)), "limit of 99"),
        (
            SMALL._replace(f_t=99.0),
            with_state(serverless=BackendState(models=frozenset({"other"}))),
            "not deployed",
        ),
        (
            SMALL._replace(f_t=99.0, time_left=0.5),
            with_state(serverless=BackendState(best_cases={SMALL.model: 0.6})),
            "best case",
        ),
    ],
)
def test_a_backend_that_cannot_take_the_request_is_no_candidate_with_a_reason(
    features: Features, state: dict[Backend, BackendState], why: str
) -> None:
    placement = place(features, state, THRESHOLDS)
    assert placement.backend == "local"
    assert why in placement.refused["serverless"]


def test_a_large_request_without_a_container_falls_through() -> None:
    state = with_state(gpu=BackendState("no pool reports"), serverless=BackendState(max_payload=6_000))
    large = SMALL._replace(r_d=5_000)
    assert place(large, state, THRESHOLDS).rule == 3
    assert place(large, state | {"local": BackendState()}, THRESHOLDS).rule == 5
    too_large = place(large._replace(r_d=7_000), state | {"local": BackendState()}, THRESHOLDS)
    assert (too_large.backend, too_large.infeasible) == (None, False)
    assert too_large.refused["local"] == "no free slot"


def test_a_request_that_no_backend_can_ever_take_is_infeasible() -> None:
    placement = place(SMALL._replace(backends=("local",), allow=("serverless",)), FREE, THRESHOLDS)
    assert (placement.backend, placement.infeasible) == (None, True)
    assert set(placement.refused) == set(ALL)


def test_a_request_too_large_for_every_possible_backend_that_is_up_is_infeasible() -> None:
    small = BackendState(free=1, max_payload=99)
    only = SMALL._replace(allow=("serverless", "local"))
    assert place(only, with_state(serverless=small, local=small), THRESHOLDS).infeasible
    for other in (BackendState("throttled", max_payload=99), BackendState(models=frozenset())):
        assert not place(only, with_state(serverless=small, local=other), THRESHOLDS).infeasible
    assert single("local")(SMALL, with_state(local=small), THRESHOLDS).infeasible
    assert not place(only, {"serverless": small}, THRESHOLDS).infeasible, "a local pool may come"


def test_backfill_takes_free_slots_only() -> None:
    batch = SMALL._replace(batch=True, f_t=99.0)
    assert place(batch, FREE, THRESHOLDS).rule == 3
    assert place(batch, with_state(local=BackendState(free=0)), THRESHOLDS).rule == 4
    busy = with_state(local=BackendState(), gpu=BackendState())
    assert place(batch, busy, THRESHOLDS).backend is None
    assert place(batch._replace(r_d=5_000), busy, THRESHOLDS).backend is None


def test_backfill_with_no_slot_to_wait_for_goes_to_serverless() -> None:
    batch = SMALL._replace(batch=True, backends=("serverless",))
    assert place(batch, FREE, THRESHOLDS).rule == 5


states = st.fixed_dictionaries(
    {},
    optional={
        backend: st.builds(
            BackendState,
            down=st.none() | st.just("down"),
            free=st.integers(-2, 3),
            models=st.none() | st.sampled_from([frozenset({"digits"}), frozenset({"other"})]),
            max_payload=st.none() | st.integers(0, 5_000),
            best_cases=st.dictionaries(st.sampled_from(["digits", "other"]), st.floats(0, 5)),
            busy=st.just(0),
            rate=st.none(),
        )
        for backend in ALL
    },
)
subsets = st.lists(st.sampled_from(ALL), unique=True).map(tuple)
requests = st.builds(
    Features,
    model=st.just("digits"),
    f_t=st.floats(0, 200),
    r_d=st.integers(0, 5_000),
    time_left=st.floats(0, 60),
    backends=subsets,
    limits=st.dictionaries(st.sampled_from(ALL), st.integers(0, 5_000)),
    allow=st.none() | subsets,
    excluded=subsets,
    batch=st.booleans(),
    max_wait=st.just(inf),
)


def can_take(features: Features, backend: Backend, state: BackendState | None) -> bool:
    return (
        state is not None
        and state.down is None
        and backend in features.backends
        and (features.allow is None or backend in features.allow)
        and backend not in features.excluded
        and (state.models is None or features.model in state.models)
        and features.r_d <= min(features.limits.get(backend, 9_999), state.max_payload or 9_999)
        and features.time_left >= state.best_cases.get(features.model, 0.0)
    )


@given(requests, states)
def test_no_request_is_sent_where_it_must_fail_and_each_gets_the_first_branch_that_holds(
    features: Features, state: dict[Backend, BackendState]
) -> None:
    features = features._replace(batch=False)
    takes = {backend: can_take(features, backend, state.get(backend)) for backend in ALL}
    # A limit of 0 bytes is a limit: `or` above reads it as none.
    for backend, known in state.items():
        if known.max_payload == 0 and features.r_d > 0:
            takes[backend] = False
    s_f = takes["local"] and state["local"].free > 0
    s_d = takes["gpu-container"] and state["gpu-container"].free > 0
    branches = [
        (1, "serverless", takes["serverless"] and features.f_t > 50 and features.r_d < 1_000),
        (2, "gpu-container", takes["gpu-container"] and features.r_d >= 1_000),
        (3, "local", s_f),
        (4, "gpu-container", s_d),
        (5, "serverless", takes["serverless"]),
    ]
    expected = next(((rule, backend) for rule, backend, holds in branches if holds), (0, None))
    placement = place(features, state, THRESHOLDS)
    assert (placement.rule, placement.backend) == expected
    assert (placement.s_f, placement.s_d) == (s_f, s_d)
    refused = set(placement.refused)
    assert {backend for backend, fits in takes.items() if not fits} <= refused
    if placement.backend is None:
        assert refused == set(ALL)
    else:
        assert placement.backend not in refused
        assert not placement.infeasible


@given(requests, states)
def test_every_policy_places_only_where_it_is_feasible(
    features: Features, state: dict[Backend, BackendState]
) -> None:
    for policy in (place, round_robin(), single("local")):
        placement = policy(features, state, THRESHOLDS)
        if placement.backend is None:
            assert placement.refused
        else:
            known = state[placement.backend]
            assert known.max_payload is None or features.r_d <= known.max_payload
            assert can_take(features, placement.backend, known._replace(max_payload=None))


def test_round_robin_goes_round() -> None:
    policy = round_robin()
    assert [policy(SMALL, FREE, THRESHOLDS).backend for _ in range(4)] == [*ALL, ALL[0]]
