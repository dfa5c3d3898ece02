"""Completion scripts for bash, zsh and fish, made from the parser itself; pure."""

import argparse
from collections.abc import Iterator
from typing import Final

import msgspec

FILES: Final = frozenset({"FILE", "DIRECTORY"})
"""Metavars that mean a path."""


class Word(msgspec.Struct, frozen=True):
    """Something that may be typed: its spellings, its help, and what may follow it.

    Attributes:
        spellings: `--json`, or `-h` and `--help`; of a subcommand its name; none of a plain argument.
        help: a few words.
        choices: values that may follow, or be the argument.
        file: whether a path follows, or is the argument.
        takes: whether any value follows.
    """

    spellings: tuple[str, ...]
    help: str
    choices: tuple[str, ...] = ()
    file: bool = False
    takes: bool = False


class Node(msgspec.Struct, frozen=True):
    """A command: its path from the program's name on, its subcommands, options and arguments."""

    path: str
    commands: tuple[Word, ...]
    options: tuple[Word, ...]
    arguments: tuple[Word, ...]


def nodes(parser: argparse.ArgumentParser, path: str) -> Iterator[Node]:
    """Yield the command that a parser is, and all below it."""
    commands: list[Word] = []
    options: list[Word] = []
    arguments: list[Word] = []
    below: list[Node] = []
    for action in parser._actions:  # noqa: SLF001 - argparse tells its content in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            told = {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001
            for name, child in action.choices.items():
                commands.append(Word((name,), told.get(name, "")))
                below += nodes(child, f"{path} {name}")
        elif action.help != argparse.SUPPRESS:
            (options if action.option_strings else arguments).append(_word(action))
    yield Node(path, tuple(commands), tuple(options), tuple(arguments))
    yield from below


def _word(action: argparse.Action) -> Word:
    return Word(
        spellings=tuple(action.option_strings),
        help=(action.help or "").split("\n")[0],
        choices=tuple(str(choice) for choice in action.choices or ()),
        file=action.metavar in FILES,
        takes=action.nargs != 0,
    )


def bash(program: str, found: list[Node]) -> str:
    """Return the script for bash."""
    lines = [
        f'# bash completion of {program}: eval "$({program} completion bash)"',
        f"_{program}() {{",
        "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}",
        f'  local node={program} word index=1 words="" files=""',
        "  while [ $index -lt $COMP_CWORD ]; do",
        "    word=${COMP_WORDS[index]}",
        '    case "$node $word" in',
        *(f'      {_quoted(node.path)}) node="$node $word" ;;' for node in found[1:]),
        "    esac",
        "    index=$((index + 1))",
        "  done",
        '  case "$node $previous" in',
    ]
    for node in found:
        for option in node.options:
            if option.takes:
                patterns = "|".join(_quoted(f"{node.path} {each}") for each in option.spellings)
                lines.append(f"    {patterns}) {_offer(option.choices, file=option.file)} ;;")
    lines.append('    *) case "$node" in')
    for node in found:
        offered = [
            *(each for word in (*node.commands, *node.options) for each in word.spellings),
            *(choice for argument in node.arguments for choice in argument.choices),
        ]
        files = any(argument.file for argument in node.arguments)
        lines.append(f"      {_quoted(node.path)}) {_offer(tuple(offered), file=files)} ;;")
    lines += [
        "    esac ;;",
        "  esac",
        '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
        '  [ -z "$files" ] || COMPREPLY+=($(compgen -f -- "$current"))',
        "}",
        f"complete -o filenames -F _{program} {program}",
    ]
    return "\n".join(lines) + "\n"


def zsh(program: str, found: list[Node]) -> str:
    """Return the script for zsh, which can run bash's."""
    head = f'# zsh completion of {program}: eval "$({program} completion zsh)"\n'
    return (
        f"{head}autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
        + "\n".join(bash(program, found).splitlines()[1:])
        + "\n"
    )


def fish(program: str, found: list[Node]) -> str:
    """Return the script for fish."""
    lines = [
        f"# fish completion of {program}: {program} completion fish | source",
        f"function __{program}_node",
        f"  set -l node {program}",
        "  for word in (commandline -opc)[2..-1]",
        '    switch "$node $word"',
        *(f'      case {_quoted(node.path)}\n        set node "$node $word"' for node in found[1:]),
        "    end",
        "  end",
        "  echo $node",
        "end",
        f"complete -c {program} -f",
    ]
    for node in found:
        condition = f"complete -c {program} -n {_quoted(f'test (__{program}_node) = {_double(node.path)}')}"
        lines += [f"{condition} -a {each.spellings[0]} -d {_quoted(each.help)}" for each in node.commands]
        for option in node.options:
            names = " ".join(
                f"-l {each[2:]}" if each.startswith("--") else f"-s {each[1:]}" for each in option.spellings
            )
            lines.append(f"{condition} {names} -d {_quoted(option.help)}{_fish_value(option)}")
        for argument in node.arguments:
            if argument.choices:
                lines.append(f"{condition} -a {_quoted(' '.join(argument.choices))}")
            elif argument.file:
                lines.append(f"{condition} -F")
    return "\n".join(lines) + "\n"


def _offer(choices: tuple[str, ...], *, file: bool) -> str:
    return f"words={_quoted(' '.join(choices))}{' files=1' if file else ''}"


def _fish_value(option: Word) -> str:
    if option.choices:
        return f" -x -a {_quoted(' '.join(option.choices))}"
    if option.file:
        return " -r -F"
    return " -x" if option.takes else ""


def _quoted(text: str) -> str:
    """Quote for all three shells, whose texts in single quotes differ in backslashes alone."""
    return "'" + text.replace("\\", "").replace("'", "") + "'"


def _double(text: str) -> str:
    return f'"{text}"'


SHELLS: Final = {"bash": bash, "zsh": zsh, "fish": fish}
