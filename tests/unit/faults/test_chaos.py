from tests.faults.harness.chaos import ENDS, ON_COMPONENTS, QUIET, Deed, acts

NAMES = ("scheduler", "recorder")


def test_the_same_seed_gives_the_same_acts_and_another_one_gives_others() -> None:
    assert acts(7, 10, NAMES) == acts(7, 10, NAMES)
    assert acts(7, 10, NAMES) != acts(8, 10, NAMES)


def test_acts_leave_the_ends_quiet_and_hit_whom_they_can() -> None:
    found = acts(3, 30, NAMES)
    assert found[0].at >= QUIET
    assert found[-1].at < 30 * 60 - QUIET
    assert {act.whom for act in found} == {"broker", "database", *NAMES}
    assert all((act.whom in NAMES) == (act.deed in ON_COMPONENTS) for act in found)


def test_each_component_ends_only_in_its_half_of_the_time() -> None:
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
