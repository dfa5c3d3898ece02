"""A result is the median of both sides and of the ratios of their rounds, and its JSON is stable."""

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from benchmarks.command import table
from benchmarks.results import Result


def test_the_ratio_is_taken_round_by_round() -> None:
    result = Result.beside("one/figure", "ms", [1.0, 4.0, 9.0], [1.0, 2.0, 3.0], "Celery")
    assert (result.ours, result.peer, result.rounds) == (4.0, 2.0, 3)
    assert (result.ratio_median, result.ratio_min, result.ratio_max) == (2.0, 1.0, 3.0)


def test_rounds_without_their_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        Result.beside("one/figure", "ms", [1.0, 2.0], [1.0], "Celery")
    with pytest.raises(ValueError, match="one/figure has no rounds"):
        Result.beside("one/figure", "ms", [], [], "Celery")


@pytest.mark.parametrize(
    ("of", "bounds", "target"),
    [
        ("ours", {"at_most": 4.0}, "ours at most 4: yes"),
        ("ours", {"at_most": 3.9}, "ours at most 3.9: NO"),
        ("ratio", {"at_least": 2.0}, "ratio at least 2: yes"),
        ("ratio", {"at_least": 2.1}, "ratio at least 2.1: NO"),
    ],
)
def test_a_target_says_whether_it_is_kept(of: str, bounds: dict[str, float], target: str) -> None:
    result = Result.beside("one/figure", "ms", [4.0], [2.0], "Celery")
    assert result.aim(of, **bounds).target == target  # type: ignore[arg-type]


def test_json_has_the_documented_keys_and_can_be_read_again(tmp_path: Path) -> None:
    results = [
        Result.beside("one/figure", "ms", [4.0], [2.0], "Celery"),
        Result.alone("one/rate", "lines/s", [300.0]),
    ]
    file = tmp_path / "results.json"
    table.write(file, results)
    written = msgspec.json.decode(file.read_bytes())
    assert written[0] == {
        "name": "one/figure",
        "unit": "ms",
        "ours": 4.0,
        "peer": 2.0,
        "peer_name": "Celery",
        "ratio_median": 2.0,
        "ratio_min": 2.0,
        "ratio_max": 2.0,
        "rounds": 1,
        "target": "",
    }
    assert written[1]["peer"] is None
    assert table.read(file) == results


def test_the_table_shows_both_sides_and_the_range() -> None:
    screen = Console(file=io.StringIO(), width=100)
    result = Result.beside("one/figure", "ms", [1.0, 4.0], [1.0, 2.0], "Celery").aim("ratio", at_most=1)
    table.show(screen, [result, Result.alone("one/rate", "lines/s", [1234.5])])
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "1.50 (1.00..2.00)" in shown
    assert "1.5 Celery" in shown
    assert "1,234" in shown
    assert "one/figure, ratio at most 1: NO" in shown
