"""Completion scripts, run by the shells themselves."""

import argparse
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from straightline.cli import COMMANDS, main, make_parser
from straightline.cli.command import complete_path
from straightline.cli.completion import SHELLS, script

ZSH_TIMEOUT_S = 30.0
"""Of one completion, with the start of zsh and `compinit`."""

needs = {
    shell: pytest.mark.skipif(shutil.which(shell) is None, reason=f"there is no {shell} here")
    for shell in SHELLS
}


def nested() -> argparse.ArgumentParser:
    """A parser with commands below a command, as a batch's."""
    parser = argparse.ArgumentParser(prog="straightline")
    commands = parser.add_subparsers()
    commands.add_parser("status", help="where it is")
    batch = commands.add_parser("batch", help="it's many").add_subparsers()
    submit = batch.add_parser("submit", help="send `$(touch pwned)` one")
    complete_path(submit.add_argument("file", metavar="FILE"))
    submit.add_argument("--order", choices=["any", "input"])
    complete_path(submit.add_argument("--out", metavar="FILE", help='to "$(touch pwned)"'))
    submit.add_argument("--watch", action="store_true")
    return parser


def in_bash(parser: argparse.ArgumentParser, *words: str, folder: Path) -> list[str]:
    """Return what bash offers for the last of `words`."""
    ask = (
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '$(complete -p straightline | grep -o "_[a-z_]*straightline"); printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", f"{script(parser, 'bash')}\n{ask}", "bash", "straightline", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert done.stderr == ""
    return done.stdout.split()


def in_fish(parser: argparse.ArgumentParser, line: str, *, folder: Path) -> list[str]:
    """Return what fish offers at the end of a line."""
    done = subprocess.run(
        ["fish", "--no-config", "-c", f'{script(parser, "fish")}\ncomplete -C "straightline {line}"'],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    assert done.stderr == ""
    return [each.split("\t")[0] for each in done.stdout.splitlines()]


def in_zsh(parser: argparse.ArgumentParser, line: str, *, folder: Path) -> list[str]:
    """Press the tab key at the end of a line in zsh, then Return, and return the arguments that zsh gave."""
    (folder / "completion.zsh").write_text(script(parser, "zsh"))
    keyboard, terminal = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(terminal)
    try:
        setup = 'eval "$(<completion.zsh)"; straightline() { print -rl -- "$@" >ran }; print READY$((1))'
        os.write(keyboard, f"{setup}\n".encode())
        read_until(keyboard, b"READY1")
        os.write(keyboard, f"straightline {line}\t\n".encode())
        os.write(keyboard, b"print DONE$((1))\n")
        read_until(keyboard, b"DONE1")
    finally:
        shell.kill()
        shell.wait()
        os.close(keyboard)
    return (folder / "ran").read_text().split()


def read_until(descriptor: int, wanted: bytes) -> None:
    seen, until = b"", time.monotonic() + ZSH_TIMEOUT_S
    while wanted not in seen:
        assert select.select([descriptor], [], [], max(0, until - time.monotonic()))[0], seen
        seen += os.read(descriptor, 65_536)


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
    assert in_bash(parser, "batch", "", folder=tmp_path) == ["submit"]
    assert in_bash(parser, "batch", "submit", "--watch", "", folder=tmp_path) == ["requests.jsonl"]
    offered = in_bash(parser, "batch", "submit", "--watch", "-", folder=tmp_path)
    assert set(offered) == {"-h", "--help", "--order", "--out", "--watch"}
    assert in_bash(parser, "batch", "submit", "--order", "i", folder=tmp_path) == ["input"]
    assert in_bash(parser, "status", "sub", folder=tmp_path) == []


@needs["fish"]
def test_fish_offers_the_same(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").touch()
    parser = nested()
    assert in_fish(parser, "", folder=tmp_path) == ["batch", "status"]
    assert in_fish(parser, "batch submit --order ", folder=tmp_path) == ["any", "input"]
    assert in_fish(parser, "batch submit --out re", folder=tmp_path) == ["requests.jsonl"]
    assert in_fish(parser, "status --or", folder=tmp_path) == []
    assert list(tmp_path.glob("pwned")) == []


@needs["zsh"]
@pytest.mark.parametrize(
    ("parser", "typed", "ran"),
    [
        (make_parser, "sta", ["status"]),
        (make_parser, "submit --cl", ["submit", "--class"]),
        (make_parser, "submit --class i", ["submit", "--class", "interactive"]),
        (make_parser, "submit --input re", ["submit", "--input", "requests.jsonl"]),
        (make_parser, "batch can", ["batch", "cancel"]),
        (nested, "batch ", ["batch", "submit"]),
        (nested, "batch submit --order i", ["batch", "submit", "--order", "input"]),
        (nested, "batch submit --watch re", ["batch", "submit", "--watch", "requests.jsonl"]),
        (nested, "batch submit --ou", ["batch", "submit", "--out"]),
        (nested, "status --ord", ["status", "--ord"]),
    ],
)
def test_zsh_completes_the_same(
    parser: Callable[[], argparse.ArgumentParser], typed: str, ran: list[str], tmp_path: Path
) -> None:
    (tmp_path / "requests.jsonl").touch()
    assert in_zsh(parser(), typed, folder=tmp_path) == ran
    assert list(tmp_path.glob("pwned")) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_script_is_one_to_its_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    for parser in (make_parser(), nested()):
        done = subprocess.run(
            [shell, "-n"],
            input=script(parser, shell),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == script(make_parser(), shell) + "\n"


def test_without_shtab_the_command_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "straightline: completion scripts need shtab: "
        "install it with `pip install 'straightline[completion]'`\n"
    )


def test_the_parser_of_all_commands_needs_no_shtab() -> None:
    code = (
        "import sys; from straightline.cli import make_parser; make_parser(); print('shtab' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_command_says_its_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        with pytest.raises(SystemExit):
            make_parser().parse_args([name, "--help"])
        assert "exit codes:" in capsys.readouterr().out
