"""Variables sourced from `.straightline/env` are distinguished from those the caller set."""

from script.stack.processes.env_marker import MARK, marked, sourced

WRITTEN = {"STRAIGHTLINE_BROKER_URL": "amqp://one", "AWS_DEFAULT_REGION": "eu-central-1"}


def test_sourced_variables_are_recognised_among_others() -> None:
    assert sourced({"PATH": "/bin", **marked(WRITTEN, {})}) == {*WRITTEN, MARK}


def test_after_a_change_or_removal_all_variables_are_the_callers() -> None:
    shell = marked(WRITTEN, {})
    assert sourced({**shell, "STRAIGHTLINE_BROKER_URL": "amqp://mine"}) == frozenset()
    del shell["AWS_DEFAULT_REGION"]
    assert sourced(shell) == frozenset()


def test_without_a_valid_marker_nothing_counts_as_sourced() -> None:
    assert sourced(WRITTEN) == frozenset()
    assert sourced({**WRITTEN, MARK: ""}) == frozenset()
    assert sourced({**WRITTEN, MARK: "nonsense"}) == frozenset()


def test_a_variable_that_the_caller_had_set_before_does_not_count_as_sourced() -> None:
    given = {"STRAIGHTLINE_BROKER_URL": "amqp://one", "AWS_DEFAULT_REGION": "elsewhere"}
    assert sourced(marked(WRITTEN, given)) == {"AWS_DEFAULT_REGION", MARK}
