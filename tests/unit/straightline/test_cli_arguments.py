"""What holds for the ids that commands take."""

import pytest

from straightline.cli import main, make_parser
from straightline.cli.exit_codes import USAGE

COMMANDS = ("status", "result", "cancel", "why")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("text", ["42", "../models", "a b", "%2e%2e"])
def test_an_invalid_id_is_a_usage_error_of_every_command(
    command: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, text])
    assert caught.value.code == USAGE
    assert f"{text!r} is not a UUID" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_id_may_be_written_in_capitals(command: str) -> None:
    asked = make_parser().parse_args([command, "0192F7A1-7C1E-7000-8000-0123456789AB"])
    assert asked.id == "0192f7a1-7c1e-7000-8000-0123456789ab"
