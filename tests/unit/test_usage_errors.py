"""Wrong command lines: every command of every program ends with exit code 2 and one line that names it."""

import argparse
from collections.abc import Callable, Sequence

import pytest

import gateway.cli
import modelkit.cli
import outcomes.cli
import straightline.cli

Main = Callable[[Sequence[str]], int]
PROGRAMS: dict[str, Main] = {
    "straightline": straightline.cli.main,
    "modelkit": modelkit.cli.main,
    "outcomes": outcomes.cli.main,
    "gateway": gateway.cli.main,
}
ID = "0192f0c1-0000-7000-8000-000000000001"
NAMES: dict[str, str] = {
    "straightline": "submit batch status result cancel why models backends failures sweep completion",
    "modelkit": "new train validate compress package deploy rollback list remove",
    "outcomes": "record reconcile failures show dead migrate retain keys",
    "gateway": "http webhooks batches celery",
}
COMMANDS = [(program, name) for program, names in NAMES.items() for name in names.split()]


def refused(program: str, *arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        PROGRAMS[program](arguments)
    assert caught.value.code == 2


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err.splitlines()[-1]


@pytest.mark.parametrize(("program", "command"), COMMANDS)
def test_an_unknown_option_is_named_on_the_last_line(
    program: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(program, command, "--no-such-option")
    line = last_line(capsys)
    assert "error: " in line
    assert "--no-such-option" in line or "required" in line or "invalid choice" in line


@pytest.mark.parametrize(("program", "command"), COMMANDS)
def test_the_help_of_a_command_exits_with_0_and_ends_on_standard_output(
    program: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        PROGRAMS[program]([command, "--help"])
    printed = capsys.readouterr()
    assert caught.value.code in (0, None)
    assert printed.out.startswith("usage: ")
    assert printed.err == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_command_is_refused_with_the_known_ones(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(program, "no-such-command")
    line = last_line(capsys)
    assert "no-such-command" in line
    known = [command for name, command in COMMANDS if name == program]
    assert all(command in line for command in known)


@pytest.mark.parametrize(
    ("program", "arguments", "missing"),
    [
        ("straightline", ["status"], "ID"),
        ("straightline", ["result"], "ID"),
        ("straightline", ["cancel"], "ID"),
        ("straightline", ["why"], "ID"),
        ("straightline", ["batch"], "COMMAND"),
        ("straightline", ["batch", "submit"], "FILE, --out"),
        ("outcomes", ["show"], "id"),
        ("outcomes", [], "COMMAND"),
        ("outcomes", ["keys"], "ACTION"),
        ("outcomes", ["keys", "create"], "name"),
        ("gateway", [], "COMMAND"),
        ("modelkit", ["rollback"], "model"),
        ("modelkit", ["remove"], "model"),
        ("modelkit", ["new"], "name"),
    ],
)
def test_a_missing_argument_is_named(
    program: str, arguments: list[str], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(program, *arguments)
    line = last_line(capsys)
    assert "the following arguments are required" in line
    assert missing.lower() in line.lower()


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("straightline", ["result", ID, "--timeout", "-1"]),
        ("straightline", ["result", ID, "--timeout", "nan"]),
        ("straightline", ["cancel", ID, "--timeout", "soon"]),
        ("straightline", ["failures", "--since", "yesterday"]),
        ("straightline", ["sweep", "--older-than", "0d"]),
        ("outcomes", ["failures", "--since", "-1h"]),
        ("outcomes", ["dead", "--limit", "many"]),
        ("modelkit", ["train", "--runtime", "cloud"]),
    ],
)
def test_a_wrong_value_is_refused_with_the_option_it_is_of(
    program: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    refused(program, *arguments)
    assert f"argument {arguments[-2]}" in last_line(capsys)


@pytest.mark.parametrize("program", ["straightline", "modelkit"])
def test_no_command_prints_the_help_on_standard_error(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert PROGRAMS[program]([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: ")


def test_every_option_of_the_command_line_has_a_help_text() -> None:
    parser = straightline.cli.make_parser()
    (commands,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    assert set(commands.choices) == {command for program, command in COMMANDS if program == "straightline"}
    for command in commands.choices.values():
        options = [each for each in command._actions if not isinstance(each, argparse._SubParsersAction)]
        assert all(option.help for option in options), command.prog
