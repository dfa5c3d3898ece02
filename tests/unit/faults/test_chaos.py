from tests.faults.harness.chaos import ENDS, ON_COMPONENTS, QUIET, Deed, acts

NAMES = ("scheduler", "recorder")


def test_a_seed_determines_the_acts() -> None:
    assert acts(7, 10, NAMES) == acts(7, 10, NAMES)
    assert acts(7, 10, NAMES) != acts(8, 10, NAMES)


def test_acts_avoid_both_ends_and_hit_only_components_that_they_can() -> None:
    found = acts(3, 30, NAMES)
    assert found[0].at >= QUIET
    assert found[-1].at < 30 * 60 - QUIET
    assert {act.whom for act in found} == {"broker", "database", *NAMES}
    assert all((act.whom in NAMES) == (act.deed in ON_COMPONENTS) for act in found)


def test_each_component_is_stopped_only_in_its_half_of_the_time() -> None:
    names = [f"component-{n}" for n in range(13)]
    for seed in range(20):
        found = acts(seed, 30, names)
        early, late = (
            {act.whom for act in found if act.deed in ENDS and (act.at < 900) is first}
            for first in (True, False)
        )
        assert early & late == set()
        assert len(early) <= 6
        assert len(late) <= 7
        assert {act.deed for act in found if act.whom in early and act.at >= 900} <= {Deed.FREEZE}
