"""What a producer may have called with an outcome."""

from typing import Any

import pytest

from straightline.errors import ContractError
from straightline.producer.producer import check_callback


async def awaited(_outcome: Any) -> None:
    """Nobody would wait for it."""


def test_a_function_is_taken() -> None:
    assert check_callback(print) is print


@pytest.mark.parametrize("other", [awaited, 3, "print"])
def test_a_callback_that_would_never_run_is_refused(other: Any) -> None:
    with pytest.raises(ContractError, match="a plain function, not `async def`"):
        check_callback(other)
