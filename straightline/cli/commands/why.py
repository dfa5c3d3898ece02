"""`straightline why`: the placements of a request, with reasons."""

import argparse
from collections.abc import Mapping
from typing import Any, Final, get_args

from straightline.cli.command import GATEWAY_NOTE, add_command, add_request_id, print_answer
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
"""The branches of empirical dynamic placing (StraightLine, algorithm 1)."""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "why",
        help="explain where a request was placed",
        description="Show every placement of a request: the rule that decided, the values it compared, and "
        "the result." + GATEWAY_NOTE,
        example="straightline why 0193c9a2-7c5e-7b3e-8a51-1f6f2d1c9a10",
        json="print JSON (schema: placement-history.json)",
    )
    add_request_id(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Query the gateway and print the answer.

    Raises:
        StraightLineError: as `GatewayClient.get`.
    """
    history = open_gateway(environ).get(PlacementHistory, "placements", arguments.id)
    return print_answer(arguments, history, text)


def text(history: PlacementHistory) -> str:
    """Format a placement history."""
    model = " ".join(filter(None, (history.model, history.version)))
    lines = [f"{history.id}  {history.state}{f', model {model}' if model else ''}"]
    lines += facts([("class", history.class_), ("deadline", moment(history.deadline))])
    for step in history.steps:
        lines += _step(step, ended=history.state in get_args(State))
    if history.held_reason:
        lines.append(f"held: {history.held_reason}")
    if not history.steps and not history.held_reason:
        lines.append("never placed" if history.state == "rejected" else "no placement is known")
    if history.error:
        lines.append(f"{history.error_class or 'error'}: {history.error}")
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
        return "no result arrived" if ended else "in progress"
    return "answered" if step.succeeded else f"{step.error_class}: {step.error}"


def _cold(step: PlacementStep) -> str:
    return "" if step.cold_start is None else f", including {seconds(step.cold_start)} cold start"


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
