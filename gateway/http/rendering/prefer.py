"""The `Prefer` header (RFC 7240): `respond-async` and `wait=N` seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preference:
    """Seconds to wait for the outcome before answering 202; None waits until the deadline."""

    wait: float | None


def parse_prefer(header: str | None) -> Preference:
    """Parse a `Prefer` header; unknown preferences are ignored, as the RFC requires."""
    given: dict[str, str] = {}
    for part in (header or "").split(","):
        name, _, value = part.strip().partition("=")
        given.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = float(given["wait"]) if given.get("wait", "").isdecimal() else None
    if "respond-async" not in given:
        return Preference(None)
    return Preference(wait or 0.0)
