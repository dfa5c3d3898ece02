"""`straightline why`: why a request was placed where it was."""

import argparse
from collections.abc import Mapping
from typing import Any, Final, get_args

from straightline.cli.command import GATEWAY_NOTE, add_command, print_answer, request_id
from straightline.cli.gateway import open_gateway
from straightline.contracts.http_models import PlacementHistory, PlacementStep
from straightline.contracts.ticket import Reason
from straightline.names import State
from straightline.support.terminal import facts, moment, printable, seconds

RULES: Final = {
    1: "f_t > F and r_d < D, many small requests: serverless",
    2: "r_d >= D, large data: GPU container",
    3: "a local server is available: local",
    4: "a GPU container is available: GPU container",
    5: "nothing nearer is available: serverless",
}
"""The branches of the empirical dynamic placing algorithm."""


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "why",
        help="why a request was placed where it was",
        description="Tell every placement of a request: the rule that decided, what it was held against, and "
        "what came of it." + GATEWAY_NOTE,
        json="print JSON: placement-history.json of the contracts",
    )
    parser.add_argument("id", type=request_id, metavar="ID", help="of the request")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Ask and print.

    Raises:
        StraightLineError: any of what `Gateway.get` raises.
    """
    story = open_gateway(environ).get(PlacementHistory, "placements", arguments.id)
    return print_answer(arguments, story, text)


def text(story: PlacementHistory) -> str:
    """Lay out a story for people; pure."""
    model = " ".join(filter(None, (story.model, story.version)))
    lines = [f"{story.id}  {story.state}{f', model {model}' if model else ''}"]
    lines += facts([("class", story.class_), ("deadline", moment(story.deadline))])
    for step in story.steps:
        lines += _step(step, ended=story.state in get_args(State))
    if story.held_reason:
        lines.append(f"held: {story.held_reason}")
    if not story.steps and not story.held_reason:
        lines.append("it was placed nowhere" if story.state == "rejected" else "no placement of it is known")
    if story.error:
        lines.append(f"{story.error_class or 'error'}: {story.error}")
    return printable("\n".join(lines))


def _step(step: PlacementStep, *, ended: bool) -> list[str]:
    lines = [f"{step.number}. {step.backend}: {_ending(step, ended=ended)}"]
    reason = step.reason
    pairs: list[tuple[str, str | None]] = [
        ("placed", moment(step.placed_at)),
        ("running since", moment(step.started_at) if step.succeeded is None else None),
        ("worker", step.worker),
        ("waited", None if step.wait is None else seconds(step.wait)),
        ("took", None if step.service is None else seconds(step.service) + _cold(step)),
    ]
    if reason is not None:
        pairs = [*_reason(reason), *pairs]
    return [*lines, *facts(pairs)]


def _ending(step: PlacementStep, *, ended: bool) -> str:
    if step.succeeded is None:
        return "placed there, no answer came" if ended else "under way"
    return "answered" if step.succeeded else f"{step.error_class}: {step.error}"


def _cold(step: PlacementStep) -> str:
    return "" if step.cold_start is None else f", of it {seconds(step.cold_start)} cold start"


def _reason(reason: Reason) -> list[tuple[str, str | None]]:
    rule = RULES.get(reason.rule) if reason.policy == "empirical" else None
    return [
        ("rule", f"{reason.rule} of {reason.policy}{f': {rule}' if rule else ''}"),
        ("f_t", f"{reason.f_t:.1f} requests/s of this model (F {reason.F:g})"),
        ("r_d", f"{reason.r_d:,} bytes (D {reason.D:,})"),
        ("S_F", "yes, a local server was available" if reason.s_f else "no local server was available"),
        ("S_D", "yes, a GPU container was available" if reason.s_d else "no GPU container was available"),
        *((f"not {backend}", why) for backend, why in reason.refused.items()),
    ]
