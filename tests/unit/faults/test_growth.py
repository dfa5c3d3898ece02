"""Growing memory is reported by process name; steady or oscillating memory is not."""

from collections.abc import Callable

import pytest

from tests.faults.harness.memory_growth import ProcessSamples, Verdict, analyze, failures, summary

MIB = 1024 * 1024
MINUTE = 60.0


def samples(
    size: Callable[[float], float], *, minutes: float = 14, since: float = 0.0, name: str = "pool"
) -> ProcessSamples:
    """Sample every five seconds; `size` is MiB at a process's age in minutes."""
    ages = [n * 5.0 for n in range(int(minutes * 12) + 1)]
    return ProcessSamples(name, [(since + age, int(size(age / MINUTE) * MIB)) for age in ages])


def test_memory_that_is_steady_after_warm_up_is_flat() -> None:
    (found,) = analyze([samples(lambda age: 100 if age >= 2 else 20 + 40 * age)])
    assert (found.verdict, found.growth, found.minutes) == (Verdict.FLAT, 0.0, 12.0)


@pytest.mark.parametrize("since", [0.0, 900.0])
def test_a_leak_is_evaluated_by_its_growth_in_half_an_hour(since: float) -> None:
    (found,) = analyze([samples(lambda age: 100 + 0.2 * age, since=since)])
    assert found.verdict is Verdict.GREW
    assert found.growth == pytest.approx(0.06, abs=0.001)
    assert found.last / found.first < 1.05  # although it grew by less during the samples
    assert failures([found], lasting=[]) == ["pool grew: +6.0% in 30 minutes"]


def test_less_than_five_per_cent_in_half_an_hour_is_flat() -> None:
    (found,) = analyze([samples(lambda age: 100 + 0.15 * age)])
    assert found.verdict is Verdict.FLAT
    assert found.growth == pytest.approx(0.045, abs=0.001)


def test_a_small_step_and_a_peak_are_flat_and_a_large_step_is_growth() -> None:
    steps = [samples(lambda age: 101 if age > 8 else 100), samples(lambda age: 150 if 7 < age < 8 else 100)]
    assert [analyze([each])[0].verdict for each in steps] == [Verdict.FLAT] * 2
    (found,) = analyze([samples(lambda age: 106 if age > 10 else 100)])
    assert found.verdict is Verdict.GREW
    assert found.growth == pytest.approx(0.06)


def test_oscillating_memory_is_flat() -> None:
    (found,) = analyze([samples(lambda age: 100 + 10 * (int(age * 2) % 2))])
    assert found.verdict is Verdict.FLAT


def test_a_restarted_process_is_evaluated_by_itself() -> None:
    processes = [samples(lambda _: 100), samples(lambda _: 120, since=900)]
    (found,) = analyze(processes)
    assert (found.verdict, found.count) == (Verdict.FLAT, 2)


def test_of_several_processes_the_one_with_most_growth_is_reported() -> None:
    (found,) = analyze(
        [samples(lambda _: 100), samples(lambda age: 100 + age), samples(lambda _: 50, minutes=3)]
    )
    assert (found.verdict, found.count) == (Verdict.GREW, 3)


def test_a_short_lived_process_is_not_evaluated_which_is_a_failure_if_it_should_have_lasted() -> None:
    found = analyze(
        [
            samples(lambda age: 100 + 10 * age, minutes=11.9),
            ProcessSamples("new", [(5.0, MIB)]),
            ProcessSamples("gone"),
        ]
    )
    assert [(each.name, each.verdict) for each in found] == [
        ("gone", Verdict.BRIEF),
        ("new", Verdict.BRIEF),
        ("pool", Verdict.BRIEF),
    ]
    assert failures(found, lasting=[]) == []
    assert failures(found, lasting=["pool", "never"]) == [
        "pool was not watched long enough to tell whether it grows",
        "never was not watched long enough to tell whether it grows",
    ]


def test_a_soak_without_an_evaluated_process_does_not_report_flat_memory() -> None:
    brief, long = samples(lambda _: 100, minutes=11), samples(lambda _: 100, name="recorder")
    assert summary(analyze([brief])) == "Memory was not evaluated: no process ran for 12 minutes."
    assert summary(analyze([brief, long])) == "Memory is flat in all processes watched long enough."
