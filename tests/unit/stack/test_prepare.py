"""What is said when the ground cannot be prepared."""

import pytest

from script.stack.processes import prepare
from script.support.errors import StackError


def test_a_given_service_that_fails_is_named_with_the_way_without_it() -> None:
    said = "does not answer\nSTRAIGHTLINE_BROKER_URL names it; unset"
    with (
        pytest.raises(StackError, match=said),
        prepare._hint_private("amqp://x", "STRAIGHTLINE_BROKER_URL"),
    ):
        raise StackError("it does not answer")


def test_of_a_private_service_no_variable_is_blamed() -> None:
    with (
        pytest.raises(StackError, match=r"^it ended$"),
        prepare._hint_private(None, "STRAIGHTLINE_BROKER_URL"),
    ):
        raise StackError("it ended")
