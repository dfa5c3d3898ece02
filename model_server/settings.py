"""What the model server reads from the environment (`STRAIGHTLINE_` + the name in capitals)."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from straightline.errors import ConfigurationError
from straightline.settings import load
from straightline.support.bind_check import check_bind
from straightline.support.logs import LogSettings

Count = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
INHERITED_SOCKETS: Final = "GUNICORN_FD"
"""Gunicorn's variable for sockets that the process before it has bound."""


class Settings(msgspec.Struct, frozen=True):
    """For the application.

    Attributes:
        models_dir: the directory of bundles.
        serve_max_body: the largest request in bytes.
        serve_model_threads: threads that one call of a model may use.
        serve_watch: seconds between looks for models that were deployed or removed; 0 never looks.
    """

    models_dir: str
    serve_max_body: Count = 64 * 1024 * 1024
    serve_model_threads: Count = 1
    serve_watch: NotNegative = 1.0


class ServerSettings(msgspec.Struct, frozen=True):
    """For gunicorn.

    Attributes:
        serve_bind: where it listens.
        serve_workers: processes, each with the models loaded.
        serve_threads: requests at once in each.
        serve_grace: seconds that running requests get on SIGTERM.
    """

    serve_bind: str = "127.0.0.1:8080"
    serve_workers: Count = 1
    serve_threads: Count = 4
    serve_grace: Annotated[int, msgspec.Meta(ge=0)] = 10


def load_checked(environ: Mapping[str, str]) -> ServerSettings:
    """Return gunicorn's settings where a server can start with these variables; else end with a line."""
    try:
        settings, server = load(Settings, environ), load(ServerSettings, environ)
        load(LogSettings, environ)
        check_directory(Path(settings.models_dir))
        if INHERITED_SOCKETS not in environ:
            check_bind("STRAIGHTLINE_SERVE_BIND", server.serve_bind)
    except ConfigurationError as error:
        # Gunicorn, which reads this, would tell of an error by a traceback.
        print(f"model server: {error}", file=sys.stderr)  # noqa: T201 - it is what its starter reads
        raise SystemExit(1) from None
    return server


def check_directory(models: Path) -> None:
    """Do nothing where there is a directory of models.

    Raises:
        ConfigurationError: there is none.
    """
    if not models.is_dir():
        raise ConfigurationError(f"there is no directory of models at {models}: set STRAIGHTLINE_MODELS_DIR")
