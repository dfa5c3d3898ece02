"""Restriction of Celery's remote control to read-only commands.

Every client that may send remote control, as Flower must, could otherwise stop workers, cancel their
consumers, resize them or have them write files. Workers are steered by signals and settings only.
"""

from typing import Any, Final

from celery.worker.control import Panel

ALLOWED_COMMANDS: Final = frozenset(
    {
        *("ping", "clock", "stats", "conf", "active_queues", "registered", "query_task"),
        *("active", "reserved", "scheduled", "revoked"),
        # The names that Flower and `inspect` of older releases use.
        *("dump_conf", "dump_active", "dump_reserved", "dump_schedule", "dump_revoked", "dump_tasks"),
        "enable_events",  # Flower sends it repeatedly; events are always enabled here
    }
)


def restrict_remote_control() -> None:
    """Refuse all other commands in this process."""
    for command in Panel.data.keys() - ALLOWED_COMMANDS:
        Panel.data[command] = _refuse


def _refuse(_state: Any, **_arguments: Any) -> dict[str, str]:
    return {"error": "remote control is read-only on this worker"}
