"""Errors of the preparation name the variable of a given service, and only then."""

import pytest

from script.stack.processes import prepare
from script.support.errors import StackError


def test_an_error_with_a_given_service_names_its_variable_and_the_remedy() -> None:
    message = "does not answer\nThe service is set by STRAIGHTLINE_BROKER_URL. Unset the variable"
    with (
        pytest.raises(StackError, match=message),
        prepare._hint_private("amqp://x", "STRAIGHTLINE_BROKER_URL"),
    ):
        raise StackError("it does not answer")


def test_an_error_with_a_private_service_names_no_variable() -> None:
    with (
        pytest.raises(StackError, match=r"^it ended$"),
        prepare._hint_private(None, "STRAIGHTLINE_BROKER_URL"),
    ):
        raise StackError("it ended")
