from datetime import timedelta

import pytest

from straightline.support.durations import duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604_800), ("1h30m", 5400)]
)
def test_durations_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "1", "h", "-1h", "1 h", "1y", "0s", "999999999w", "1h!", "\u0661h", "999999w" * 999]
)
def test_an_invalid_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="30s, 15m, 1h or 7d"):
        duration(text)
