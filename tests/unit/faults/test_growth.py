"""Memory that grows is seen, by name, and nothing else is taken for growth."""

from collections.abc import Callable

import pytest

from tests.faults.harness.growth import Finding, Life, faults, judge, summary

MIB = 1024 * 1024
MINUTE = 60.0


def life(
    size: Callable[[float], float], *, minutes: float = 14, since: float = 0.0, name: str = "pool"
) -> Life:
    """Sample every five seconds; `size` is MiB at a process's age in minutes."""
    ages = [n * 5.0 for n in range(int(minutes * 12) + 1)]
    return Life(name, [(since + age, int(size(age / MINUTE) * MIB)) for age in ages])


def test_memory_that_is_steady_after_warm_up_is_flat() -> None:
    (found,) = judge([life(lambda age: 100 if age >= 2 else 20 + 40 * age)])
    assert (found.finding, found.growth, found.minutes) == (Finding.FLAT, 0.0, 12.0)


@pytest.mark.parametrize("since", [0.0, 900.0])
def test_a_leak_is_judged_by_its_growth_in_half_an_hour(since: float) -> None:
    (found,) = judge([life(lambda age: 100 + 0.2 * age, since=since)])
    assert found.finding is Finding.GREW
    assert found.growth == pytest.approx(0.06, abs=0.001)
    assert found.last / found.first < 1.05  # which in its own time it was not
    assert faults([found], lasting=[]) == ["pool grew: +6.0% in 30 minutes"]


def test_less_than_five_per_cent_in_half_an_hour_is_flat() -> None:
    (found,) = judge([life(lambda age: 100 + 0.15 * age)])
    assert found.finding is Finding.FLAT
    assert found.growth == pytest.approx(0.045, abs=0.001)


def test_a_small_step_and_a_peak_are_flat_and_a_large_step_is_growth() -> None:
    steps = [life(lambda age: 101 if age > 8 else 100), life(lambda age: 150 if 7 < age < 8 else 100)]
    assert [judge([each])[0].finding for each in steps] == [Finding.FLAT] * 2
    (found,) = judge([life(lambda age: 106 if age > 10 else 100)])
    assert found.finding is Finding.GREW
    assert found.growth == pytest.approx(0.06)


def test_oscillating_memory_is_flat() -> None:
    (found,) = judge([life(lambda age: 100 + 10 * (int(age * 2) % 2))])
    assert found.finding is Finding.FLAT


def test_a_restarted_process_is_judged_anew() -> None:
    lives = [life(lambda _: 100), life(lambda _: 120, since=900)]
    (found,) = judge(lives)
    assert (found.finding, found.lives) == (Finding.FLAT, 2)


def test_of_several_processes_the_one_with_most_growth_is_reported() -> None:
    (found,) = judge([life(lambda _: 100), life(lambda age: 100 + age), life(lambda _: 50, minutes=3)])
    assert (found.finding, found.lives) == (Finding.GREW, 3)


def test_a_short_lived_process_is_not_judged_which_is_a_failure_if_it_should_have_lasted() -> None:
    found = judge([life(lambda age: 100 + 10 * age, minutes=11.9), Life("new", [(5.0, MIB)]), Life("gone")])
    assert [(each.name, each.finding) for each in found] == [
        ("gone", Finding.BRIEF),
        ("new", Finding.BRIEF),
        ("pool", Finding.BRIEF),
    ]
    assert faults(found, lasting=[]) == []
    assert faults(found, lasting=["pool", "never"]) == [
        "pool was not watched for long enough to say whether it grows",
        "never was not watched for long enough to say whether it grows",
    ]


def test_a_soak_without_a_judged_process_does_not_report_flat_memory() -> None:
    brief, long = life(lambda _: 100, minutes=11), life(lambda _: 100, name="recorder")
    assert summary(judge([brief])) == "Memory was not judged: no process lived for 12 minutes."
    assert summary(judge([brief, long])) == "Memory is flat, as far as it was watched."
