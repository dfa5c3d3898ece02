"""What a shell that has sourced `.straightline/env` means by its variables."""

from script.stack.processes.env_marker import MARK, marked, sourced

WRITTEN = {"STRAIGHTLINE_BROKER_URL": "amqp://one", "AWS_DEFAULT_REGION": "eu-central-1"}


def test_what_was_sourced_is_known_again_among_other_variables() -> None:
    assert sourced({"PATH": "/bin", **marked(WRITTEN, {})}) == {*WRITTEN, MARK}


def test_once_one_is_changed_or_taken_away_all_are_the_callers_own() -> None:
    shell = marked(WRITTEN, {})
    assert sourced({**shell, "STRAIGHTLINE_BROKER_URL": "amqp://mine"}) == frozenset()
    del shell["AWS_DEFAULT_REGION"]
    assert sourced(shell) == frozenset()


def test_without_the_mark_nothing_was_sourced() -> None:
    assert sourced(WRITTEN) == frozenset()
    assert sourced({**WRITTEN, MARK: ""}) == frozenset()
    assert sourced({**WRITTEN, MARK: "nonsense"}) == frozenset()


def test_what_the_caller_had_given_stays_the_callers() -> None:
    given = {"STRAIGHTLINE_BROKER_URL": "amqp://one", "AWS_DEFAULT_REGION": "elsewhere"}
    assert sourced(marked(WRITTEN, given)) == {"AWS_DEFAULT_REGION", MARK}
