"""What a worker answers to Celery's remote control: questions alone.

Whoever may ask, as Flower must, could otherwise end workers, take them off their queue, resize them or have
them write files. Signals and settings are how a worker is steered here.
"""

from typing import Any, Final

from celery.worker.control import Panel

ALLOWED_COMMANDS: Final = frozenset(
    {
        *("ping", "clock", "stats", "conf", "active_queues", "registered", "query_task"),
        *("active", "reserved", "scheduled", "revoked"),
        # What `inspect` of older releases and Flower call the same.
        *("dump_conf", "dump_active", "dump_reserved", "dump_schedule", "dump_revoked", "dump_tasks"),
        "enable_events",  # Flower asks for them again and again; here they are on anyway
    }
)


def restrict_remote_control() -> None:
    """Refuse all other commands, for the whole process."""
    for command in Panel.data.keys() - ALLOWED_COMMANDS:
        Panel.data[command] = _refuse


def _refuse(_state: Any, **_arguments: Any) -> dict[str, str]:
    return {"error": "this worker answers questions and takes no orders"}
