"""Two checkouts are compared process by process, in turn, on what both measure."""

import json
from pathlib import Path

import pytest

from benchmarks.command import against
from benchmarks.results import Result
from script.support.errors import StackError

FAKE = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
for last; do :; done
cp "$(dirname "$0")/results.json" "$last"
"""


def _checkout(folder: Path, ours: float, *, name: str = "one/figure") -> Path:
    """A checkout whose `script/bench` always measures the same."""
    (folder / "script").mkdir(parents=True)
    command = folder / "script" / "bench"
    command.write_text(FAKE)
    command.chmod(0o755)
    result = {"name": name, "unit": "ms", "ours": ours, "peer": None, "peer_name": "", "rounds": 1}
    result |= dict.fromkeys(("ratio_median", "ratio_min", "ratio_max"))
    (folder / "script" / "results.json").write_text(json.dumps([result]))
    return folder


def _alone(*values: float) -> list[Result]:
    return [Result.alone("one/figure", "ms", [value]) for value in values]


def test_processes_alternate_and_each_is_asked_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = _checkout(tmp_path / "here", 4.0), _checkout(tmp_path / "there", 2.0)
    monkeypatch.setattr(against, "ROOT", here)
    (result,) = against.compare("one", there, processes=3, sizes={"rounds": 2}, quick=True)
    assert (result.ours, result.peer, result.peer_name) == (4.0, 2.0, "at there")
    assert (result.ratio_median, result.rounds) == (2.0, 3)
    for checkout in (here, there):
        calls = (checkout / "script" / "calls").read_text().splitlines()
        assert len(calls) == 3
        assert calls[0].startswith("one --size=rounds=2 --quick --json ")


def test_the_ratio_is_of_processes_that_followed_each_other() -> None:
    ours, theirs = [[each] for each in _alone(1, 4, 9)], [[each] for each in _alone(1, 2, 3)]
    (result,) = against.pair(ours, theirs, Path("other"))
    assert (result.ratio_min, result.ratio_median, result.ratio_max) == (1.0, 2.0, 3.0)


def test_a_figure_that_one_checkout_lacks_is_left_out() -> None:
    other = [Result.alone("another", "ms", [1.0])]
    assert against.pair([_alone(1)], [other], Path("other")) == []


def test_a_checkout_without_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="has no script/bench"):
        against.run_once(tmp_path, ["one"])


def test_what_failed_there_is_reported_with_the_end_of_its_output(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path / "there", 1.0)
    (checkout / "script" / "bench").write_text("#!/bin/sh\necho it is broken\nexit 3\n")
    with pytest.raises(StackError, match=r"(?s)failed with status 3:\nit is broken"):
        against.run_once(checkout, ["one"])


def test_other_json_is_reported(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path / "there", 1.0)
    (checkout / "script" / "results.json").write_text('{"figure": 1}')
    with pytest.raises(StackError, match="wrote other JSON"):
        against.run_once(checkout, ["one"])
