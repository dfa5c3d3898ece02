"""`python -m script.stack COMMAND`: what `script/demo`, `up` and `down` do after bootstrapping."""

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
    """Run the command and return its exit status."""
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
                # Its libraries take a second or two to load; `down` shall not wait for them.
                from script.stack.demo import demo  # noqa: PLC0415

                file = output_file(options.json)
                trial = demo.Trial(requests=options.requests, seed=options.seed, file=file)
                return demo.run(ROOT, state, screen, trial)
    except KeyboardInterrupt:
        print("Interrupted; all that was started is stopped.", file=sys.stderr)
        return 130
    except (StackError, StraightLineError) as error:
        print(f"It did not work: {error}", file=sys.stderr)
        return 1


def _forget_sourced(screen: Console) -> None:
    """Take what an earlier `script/up` told this shell out of the environment."""
    names = sourced(os.environ)
    for name in names:
        del os.environ[name]
    if names:
        screen.print("What this shell has sourced from script/up does not count as services to use.")


def _interrupt(_number: int, _frame: FrameType | None) -> Never:
    raise KeyboardInterrupt


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script")
    commands = parser.add_subparsers(dest="command", required=True)
    trial = commands.add_parser("demo", prog="script/demo", description="Run the whole system once.")
    trial.add_argument("--requests", type=_positive, default=2_000, metavar="N", help="how many (2000)")
    trial.add_argument("--seed", type=int, default=1, metavar="S", help="which workload (1)")
    trial.add_argument("--json", type=Path, metavar="FILE", help="also write the report's figures there")
    commands.add_parser("up", prog="script/up", description="Start the stack and leave it running.")
    commands.add_parser("down", prog="script/down", description="Stop what script/up started.")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # argparse would say it in the name of the parser of them all
        commands.choices[options.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
