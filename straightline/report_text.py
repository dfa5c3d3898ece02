"""Failure rates and placement reasons as text, for every command that prints them."""

from collections.abc import Sequence
from typing import Final

from straightline.contracts import FailureRate, Reason
from straightline.support.terminal import percent, printable, table

HEADINGS: Final = (
    "attempts",
    "failed",
    "rate",
    "outcomes",
    "failed",
    "rate",
    "rejected",
    "cold",
    "errors",
)
NO_NAME: Final = {"backend": "(never placed)", "model": "(none readable)"}
"""Labels of outcomes without a backend, and of messages that name no model."""


def failure_tables(
    window: str,
    by_backend: Sequence[FailureRate],
    by_model: Sequence[FailureRate],
    by_version: Sequence[FailureRate],
) -> str:
    """Format rates as one table for each kind of name, below a line that describes the window."""
    if not by_backend and not by_model:
        return f"{window}: nothing was attempted."
    named = [("backend", by_backend), ("model", by_model)]
    if by_version:
        named.append(("version", by_version))
    return "\n\n".join([window, *(_table(name, rates) for name, rates in named)])


def format_reason(reason: Reason) -> str:
    """Format the rule that decided, the values it compared, and why other backends were refused."""
    text = (
        f"placed by rule {reason.rule} of {reason.policy}: f_t {reason.f_t:.1f}/s (F {reason.F:g}/s), "
        f"r_d {reason.r_d} B (D {reason.D} B), S_F {_yes_or_no(reason.s_f)}, S_D {_yes_or_no(reason.s_d)}"
    )
    if reason.refused:
        text += "; not on " + ", ".join(f"{backend} ({why})" for backend, why in reason.refused.items())
    return text


def _table(name: str, rates: Sequence[FailureRate]) -> str:
    return table([(name, *HEADINGS), *(_row(rate, NO_NAME.get(name, "-")) for rate in rates)])


def _row(rate: FailureRate, no_name: str) -> tuple[str, ...]:
    return (
        printable(rate.name or no_name),
        str(rate.attempts),
        str(rate.attempts_failed),
        percent(rate.attempt_failure_rate),
        str(rate.outcomes),
        str(rate.outcomes_failed),
        percent(rate.failure_rate),
        str(rate.rejected),
        str(rate.cold_starts),
        printable(", ".join(f"{name} {count}" for name, count in rate.errors.items())),
    )


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
