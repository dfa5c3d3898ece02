import pytest

from tests.faults.kit.chaos import ON_COMPONENTS, QUIET, acts, growth

NAMES = ("scheduler", "recorder")
MIB = 1024 * 1024


def test_the_same_seed_gives_the_same_acts_and_another_one_gives_others() -> None:
    assert acts(7, 10, NAMES) == acts(7, 10, NAMES)
    assert acts(7, 10, NAMES) != acts(8, 10, NAMES)


def test_acts_leave_the_ends_quiet_and_hit_whom_they_can() -> None:
    found = acts(3, 30, NAMES)
    assert found[0].at >= QUIET
    assert found[-1].at < 30 * 60 - QUIET
    assert {act.whom for act in found} == {"broker", "database", *NAMES}
    assert all((act.whom in NAMES) == (act.deed in ON_COMPONENTS) for act in found)


def test_memory_that_grows_is_seen_and_the_warm_up_is_not() -> None:
    steady = [(float(at), (100 if at >= 60 else 20 + at) * MIB) for at in range(0, 600, 5)]
    found = growth(steady, warm_up=60)
    assert found is not None
    assert (found.share, found.slope) == (0.0, 0.0)
    leaking = growth([(float(at), 100 * MIB + at * MIB // 60) for at in range(0, 1200, 5)], warm_up=60)
    assert leaking is not None
    assert leaking.share > 0.1
    assert leaking.slope == pytest.approx(60 * MIB, rel=0.01)


def test_a_process_that_hardly_lived_is_not_judged() -> None:
    assert growth([(1.0, MIB), (61.0, MIB)], warm_up=60) is None
