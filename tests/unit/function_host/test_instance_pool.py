"""The pool never exceeds a limit, never gives an instance to two invocations, and prefers warm ones."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from function_host.hosting.pool import (
    FUNCTION_LIMIT,
    TOTAL_LIMIT,
    FunctionKey,
    Pool,
    Retention,
    Reuse,
    Start,
    Throttle,
)

A, A2, B, C = FunctionKey("a", "1"), FunctionKey("a", "2"), FunctionKey("b", "1"), FunctionKey("c", "1")


def start(pool: Pool, key: FunctionKey) -> int:
    decision = pool.acquire(key)
    assert isinstance(decision, Start)
    return decision.instance


def test_the_most_recently_used_warm_instance_is_preferred() -> None:
    pool = Pool(per_function=3, total=3)
    first, second = start(pool, A), start(pool, A)
    pool.release(first, 1.0)
    pool.release(second, 2.0)
    assert pool.acquire(A) == Reuse(second)
    assert pool.acquire(A) == Reuse(first)
    assert isinstance(pool.acquire(A), Start)


def test_a_function_beyond_its_limit_is_throttled_alone() -> None:
    pool = Pool(per_function=1, total=2)
    start(pool, A)
    assert pool.acquire(A) == Throttle(FUNCTION_LIMIT)
    start(pool, B)
    assert pool.acquire(C) == Throttle(TOTAL_LIMIT)


def test_the_oldest_idle_instance_is_evicted_for_another_function() -> None:
    pool = Pool(per_function=2, total=2)
    old, young = start(pool, A), start(pool, B)
    pool.release(young, 2.0)
    pool.release(old, 1.0)
    decision = pool.acquire(C)
    assert isinstance(decision, Start)
    assert decision.evicted == (old,)


def test_instances_of_an_older_deployment_are_evicted() -> None:
    pool = Pool(per_function=1, total=1)
    old = start(pool, A)
    pool.release(old, 1.0)
    decision = pool.acquire(A2)
    assert isinstance(decision, Start)
    assert decision.evicted == (old,)


def test_only_instances_past_their_idle_time_are_reaped() -> None:
    pool = Pool(per_function=3, total=3)
    idle, fresh, _busy = start(pool, A), start(pool, A), start(pool, A)
    pool.release(idle, 1.0)
    pool.release(fresh, 5.0)
    assert pool.reap(14.0, lambda _: Retention(0, 10.0)) == [idle]
    assert pool.reap(14.0, lambda _: Retention(0, 10.0)) == []
    assert pool.count() == 2


def test_the_minimum_is_kept_and_the_longest_idle_are_reaped() -> None:
    pool = Pool(per_function=4, total=4)
    numbers = [start(pool, A) for _ in range(3)]
    for at, number in enumerate(numbers):
        pool.release(number, float(at))
    assert pool.reap(100.0, lambda _: Retention(2, 10.0)) == [numbers[0]]
    assert pool.reap(100.0, lambda _: Retention(2, 10.0)) == []
    assert pool.reap(100.0, lambda key: Retention(0 if key == A else 2, 10.0)) == numbers[1:]


def test_instances_below_the_minimum_are_prestarted_and_reused() -> None:
    pool = Pool(per_function=2, total=3)
    first, second = pool.prestart(A, 2), pool.prestart(A, 2)
    assert first is not None
    assert second is not None
    assert pool.prestart(A, 3) is None  # the host's limit
    pool.release(second, 1.0)
    assert pool.acquire(A) == Reuse(second)


def test_older_deployments_do_not_count_for_the_minimum() -> None:
    pool = Pool(per_function=2, total=2)
    start(pool, A)
    assert pool.prestart(A2, 1) is not None
    assert pool.prestart(A2, 2) is None


def test_a_prestart_evicts_nothing() -> None:
    pool = Pool(per_function=1, total=1)
    pool.release(start(pool, A), 1.0)
    assert pool.prestart(B, 1) is None


def test_a_function_can_have_a_lower_limit_than_the_host() -> None:
    pool = Pool(per_function=2, total=3)
    assert isinstance(pool.acquire(A, 1), Start)
    assert pool.acquire(A, 1) == Throttle(FUNCTION_LIMIT)
    assert pool.prestart(A, 2, 1) is None


def test_a_removed_instance_frees_its_place() -> None:
    pool = Pool(per_function=1, total=1)
    pool.remove(start(pool, A))
    start(pool, A)


class PoolMachine(RuleBasedStateMachine):
    """Random acquisitions, releases, removals and reaping, checked against a simple model."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(per_function=2, total=3)
        self.busy: dict[int, FunctionKey] = {}
        self.idle: dict[int, FunctionKey] = {}
        self.now = 0.0

    @rule(key=st.sampled_from([A, A2, B, C]))
    def invoke(self, key: FunctionKey) -> None:
        decision = self.pool.acquire(key)
        if isinstance(decision, Reuse):
            assert self.idle.pop(decision.instance) == key
            self.busy[decision.instance] = key
        elif isinstance(decision, Start):
            assert key not in self.idle.values(), "there was a warm instance"
            for number in decision.evicted:
                del self.idle[number]
            assert decision.instance not in self.busy
            assert decision.instance not in self.idle
            self.busy[decision.instance] = key
        else:
            of_function = sum(each.function == key.function for each in self.busy.values())
            assert of_function == 2 or len(self.busy) == 3, "there was capacity"

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.busy)))
        self.idle[number] = self.busy.pop(number)
        self.now += 1
        self.pool.release(number, self.now)

    @precondition(lambda self: self.busy or self.idle)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted([*self.busy, *self.idle])))
        self.busy.pop(number, None)
        self.idle.pop(number, None)
        self.pool.remove(number)

    @rule(age=st.floats(0, 3))
    def reap(self, age: float) -> None:
        for number in self.pool.reap(self.now, lambda _: Retention(0, age)):
            del self.idle[number]

    @rule(key=st.sampled_from([A, B]), least=st.integers(0, 3))
    def start_ahead(self, key: FunctionKey, least: int) -> None:
        everyone = [*self.busy.values(), *self.idle.values()]
        number = self.pool.prestart(key, least)
        if number is not None:
            assert everyone.count(key) < least
            self.busy[number] = key

    @invariant()
    def limits_hold_and_nobody_is_forgotten(self) -> None:
        everyone = [*self.busy.values(), *self.idle.values()]
        assert self.pool.count() == len(everyone) <= 3
        for function in "abc":
            assert self.pool.count(function) == sum(each.function == function for each in everyone) <= 2


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("limit", [1, 2])
def test_a_full_pool_throttles_until_a_release(limit: int) -> None:
    pool = Pool(per_function=limit, total=limit)
    numbers = [start(pool, A) for _ in range(limit)]
    assert isinstance(pool.acquire(A), Throttle)
    pool.release(numbers[0], 1.0)
    assert pool.acquire(A) == Reuse(numbers[0])
