"""The log of a process of the stack."""

import logging


def set_up(level: int = logging.INFO) -> None:
    """Write to stderr, each line with its time, level and place; a process does this once, at its start."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # the link reports what matters, in one line
