"""What a caller prefers (RFC 7240): `respond-async`, and `wait=N` seconds before that. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preference:
    """How long to wait for the outcome: `wait` seconds, then answer 202; None waits until the deadline."""

    wait: float | None


def parse_prefer(header: str | None) -> Preference:
    """Read a `Prefer` header; what is not understood is passed over, as the RFC has it."""
    told: dict[str, str] = {}
    for part in (header or "").split(","):
        name, _, value = part.strip().partition("=")
        told.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = float(told["wait"]) if told.get("wait", "").isdecimal() else None
    if "respond-async" not in told:
        return Preference(None)
    return Preference(wait or 0.0)
