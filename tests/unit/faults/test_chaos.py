from tests.faults.harness.chaos import ENDS, ON_COMPONENTS, QUIET_S, ActionKind, plan_actions

NAMES = ("scheduler", "recorder")


def test_a_seed_determines_the_acts() -> None:
    assert plan_actions(7, 10, NAMES) == plan_actions(7, 10, NAMES)
    assert plan_actions(7, 10, NAMES) != plan_actions(8, 10, NAMES)


def test_acts_avoid_both_ends_and_hit_only_components_that_they_can() -> None:
    found = plan_actions(3, 30, NAMES)
    assert found[0].at >= QUIET_S
    assert found[-1].at < 30 * 60 - QUIET_S
    assert {act.target for act in found} == {"broker", "database", *NAMES}
    assert all((act.target in NAMES) == (act.kind in ON_COMPONENTS) for act in found)


def test_each_component_is_stopped_only_in_its_half_of_the_time() -> None:
    names = [f"component-{n}" for n in range(13)]
    for seed in range(20):
        found = plan_actions(seed, 30, names)
        early, late = (
            {act.target for act in found if act.kind in ENDS and (act.at < 900) is first}
            for first in (True, False)
        )
        assert early & late == set()
        assert len(early) <= 6
        assert len(late) <= 7
        assert {act.kind for act in found if act.target in early and act.at >= 900} <= {ActionKind.FREEZE}
