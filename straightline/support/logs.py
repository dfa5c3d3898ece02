"""Set-up of the log of a process."""

import logging
import os
import sys
from typing import Final, Literal

import msgspec

from straightline.settings import load
from straightline.support.log_format import JsonFormatter, TextFormatter

PACKAGES: Final = (
    *("straightline", "broker_config", "outcomes", "scheduler", "workers"),
    *("gateway", "model_server", "function_host", "modelkit"),
)
"""Packages whose events appear at the configured level."""


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of every process.

    Attributes:
        log_level: the lowest level that is logged; libraries log from INFO up.
        log_format: `json` or `text`; `auto` is text on a terminal and JSON otherwise.
    """

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"


class LogOutput(logging.Handler):
    """Writes records to stderr.

    Args:
        component: the process, such as `recorder`.
        json: write JSON lines; otherwise lines for people.
        lowest: the lowest level of our events, as in `logging`.

    Attributes:
        component, json: as given.
    """

    def __init__(self, component: str, *, json: bool, lowest: int = logging.INFO) -> None:
        super().__init__()
        self.component = component
        self.json = json
        self._lowest = lowest
        self.setFormatter(JsonFormatter(component) if json else TextFormatter(component))

    def shows(self, level: int) -> bool:
        """Tell whether our events of this level are written."""
        return level >= self._lowest

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            self.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - a fault of the log must not stop the work
            self.handleError(record)

    def write(self, lines: str) -> None:
        """Write whole lines at once, apart from those of other threads."""
        self.acquire()
        try:
            sys.stderr.write(lines)
            sys.stderr.flush()
        finally:
            self.release()


def set_up(component: str) -> LogOutput:
    """Configure the log of this process by the environment; an entry point calls this once.

    Where the root logger has handlers, they stay, and none is added.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    settings = load(LogSettings, os.environ)
    json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level]
    output = LogOutput(component, json=json, lowest=level)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(output)
        # Libraries log payloads at DEBUG.
        root.setLevel(max(level, logging.INFO))
        for package in PACKAGES:
            logging.getLogger(package).setLevel(level)
    # pika logs ten lines for a lost connection; `straightline.amqp` logs one event.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    return output


def take_over(name: str) -> None:
    """Have a library's logger write through ours, in place of handlers of its own."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True


def quiet(name: str) -> None:
    """Have a library's logger write warnings and errors only."""
    logging.getLogger(name).setLevel(logging.WARNING)
