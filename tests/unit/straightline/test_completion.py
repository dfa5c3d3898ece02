"""Completion scripts, run by the shells themselves."""

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

from straightline.cli import COMMANDS, make_parser
from straightline.cli.completion_scripts import SHELLS, bash, fish, nodes, zsh


def nested() -> argparse.ArgumentParser:
    """A parser with commands below a command, as a batch's."""
    parser = argparse.ArgumentParser(prog="straightline")
    commands = parser.add_subparsers()
    commands.add_parser("status", help="where it is")
    batch = commands.add_parser("batch", help="it's many").add_subparsers()
    submit = batch.add_parser("submit", help="send `$(touch pwned)` one")
    submit.add_argument("file", metavar="FILE")
    submit.add_argument("--order", choices=["any", "input"])
    submit.add_argument("--out", metavar="FILE")
    submit.add_argument("--watch", action="store_true")
    return parser


def in_bash(parser: argparse.ArgumentParser, *words: str, folder: Path) -> list[str]:
    """Return what bash offers for the last of `words`."""
    script = bash("straightline", list(nodes(parser, "straightline")))
    ask = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _straightline; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}", "bash", "straightline", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert done.stderr == ""
    return done.stdout.split()


def in_fish(parser: argparse.ArgumentParser, line: str, *, folder: Path) -> list[str]:
    script = fish("straightline", list(nodes(parser, "straightline")))
    done = subprocess.run(
        ["fish", "--no-config", "-c", f'{script}\ncomplete -C "straightline {line}"'],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    assert done.stderr == ""
    return [each.split("\t")[0] for each in done.stdout.splitlines()]


def test_bash_offers_commands_options_values_and_files(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").touch()
    parser = make_parser()
    assert {"submit", "status", "completion"} <= set(in_bash(parser, "", folder=tmp_path))
    assert in_bash(parser, "sta", folder=tmp_path) == ["status"]
    assert in_bash(parser, "submit", "--mod", folder=tmp_path) == ["--model", "--model-version"]
    assert in_bash(parser, "submit", "--class", "", folder=tmp_path) == ["interactive", "batch"]
    assert in_bash(parser, "submit", "--model", "", folder=tmp_path) == []
    assert in_bash(parser, "submit", "--input", "req", folder=tmp_path) == ["requests.jsonl"]
    assert in_bash(parser, "completion", "f", folder=tmp_path) == ["fish"]


def test_bash_finds_its_way_to_a_command_below_a_command(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").touch()
    parser = nested()
    assert "submit" in in_bash(parser, "batch", "", folder=tmp_path)
    offered = in_bash(parser, "batch", "submit", "--watch", "", folder=tmp_path)
    assert set(offered) == {"-h", "--help", "--order", "--out", "--watch", "requests.jsonl"}
    assert in_bash(parser, "batch", "submit", "--order", "i", folder=tmp_path) == ["input"]
    assert in_bash(parser, "status", "sub", folder=tmp_path) == []


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_fish_offers_the_same(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").touch()
    parser = nested()
    assert in_fish(parser, "", folder=tmp_path) == ["batch", "status"]
    assert in_fish(parser, "batch submit --order ", folder=tmp_path) == ["any", "input"]
    assert in_fish(parser, "batch submit --out re", folder=tmp_path) == ["requests.jsonl"]
    assert in_fish(parser, "status --or", folder=tmp_path) == []
    assert list(tmp_path.glob("pwned")) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_script_is_one_to_its_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    for parser in (make_parser(), nested()):
        script = SHELLS[shell]("straightline", list(nodes(parser, "straightline")))
        done = subprocess.run(
            [shell, "-n"], input=script, capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_zsh_runs_what_bash_runs() -> None:
    found = list(nodes(make_parser(), "straightline"))
    assert bash("straightline", found).splitlines()[1:] == zsh("straightline", found).splitlines()[3:]


def test_every_command_says_its_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        with pytest.raises(SystemExit):
            make_parser().parse_args([name, "--help"])
        assert "exit codes:" in capsys.readouterr().out
