"""A compressed model is accepted if it is smaller, within the tolerance and above the minimum."""

import pytest

from modelkit.compression import evaluate
from modelkit.project import CompressionRecord
from straightline.contracts.model import Validation

STEP = Validation(entry="a:b", metric="accuracy", minimum=0.9, tolerance=0.02)


@pytest.mark.parametrize(
    ("size", "before", "after", "told"),
    [
        (25, 0.95, 0.94, ""),
        (25, 0.95, 0.97, ""),
        (25, 0.95, 0.92, "accuracy would fall from 0.95 to 0.92, by more than the tolerance 0.02"),
        (25, 0.91, 0.895, "below the minimum 0.9"),
        (100, 0.95, 0.95, "its size would change from 100 to 100 bytes"),
        (25, None, None, ""),
    ],
)
def test_size_tolerance_and_minimum_decide(
    size: int, before: float | None, after: float | None, told: str
) -> None:
    found = evaluate(
        CompressionRecord(
            accepted=False,
            reason="",
            source="",
            bytes_before=100,
            bytes_after=size,
            before=before,
            after=after,
        ),
        STEP if before is not None else None,
    )
    assert found.accepted is not bool(told)
    assert told in found.reason
