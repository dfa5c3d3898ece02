"""`python -m script.stack COMMAND`: `script/demo`, `up` and `down` after bootstrapping."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Never

from rich.console import Console

from script.stack.processes import up_down
from script.stack.processes.env_marker import sourced
from script.support.errors import StackError
from script.support.output_file import output_file
from script.support.progress import console
from straightline.errors import StraightLineError

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run a command and return its exit status."""
    options = _read(sys.argv[1:])
    screen = console()
    state = Path(os.environ.get("STRAIGHTLINE_STATE") or ROOT / ".straightline").absolute()
    # A SIGTERM must run the same clean-up as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if options.command != "down":
            _forget_sourced(screen)
            up_down.sweep(state)
        match options.command:
            case "up":
                return up_down.up(ROOT, state, screen)
            case "down":
                return up_down.down(state, screen)
            case _:
                # Loaded only here: its libraries take a second or two.
                from script.stack.demo import demo  # noqa: PLC0415

                file = output_file(options.json)
                trial = demo.Trial(requests=options.requests, seed=options.seed, file=file)
                return demo.run(ROOT, state, screen, trial)
    except KeyboardInterrupt:
        print("Interrupted. All started processes are stopped.", file=sys.stderr)
        return 130
    except (StackError, StraightLineError) as error:
        print(f"script/{options.command} failed: {error}", file=sys.stderr)
        return 1


def _forget_sourced(screen: Console) -> None:
    """Remove the variables that the shell sourced from `.straightline/env`."""
    names = sourced(os.environ)
    for name in names:
        del os.environ[name]
    if names:
        screen.print("Ignoring the variables sourced from .straightline/env.")


def _interrupt(_number: int, _frame: FrameType | None) -> Never:
    raise KeyboardInterrupt


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script")
    commands = parser.add_subparsers(dest="command", required=True)
    trial = commands.add_parser(
        "demo",
        prog="script/demo",
        description="Start a private stack, run real requests through it, print a report, stop the stack.",
    )
    trial.add_argument(
        "--requests", type=_positive, default=2_000, metavar="N", help="number of requests (default 2000)"
    )
    trial.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the workload (default 1)")
    trial.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON to FILE")
    commands.add_parser("up", prog="script/up", description="Start a stack and leave it running.")
    commands.add_parser("down", prog="script/down", description="Stop the stack that script/up started.")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # argparse would report it under the name of the main parser
        commands.choices[options.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
