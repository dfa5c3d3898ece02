"""Settings of the model server, from `STRAIGHTLINE_` and the name in capitals."""

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
"""Gunicorn's variable for sockets that a previous process has bound."""


class Settings(msgspec.Struct, frozen=True):
    """Settings of the application.

    Attributes:
        models_dir: the model directory.
        serve_max_body: size limit of a request in bytes.
        serve_model_threads: threads of one call of an ONNX model.
        serve_watch: seconds between scans for deployed or removed models; 0 disables them.
    """

    models_dir: str
    serve_max_body: Count = 64 * 1024 * 1024
    serve_model_threads: Count = 1
    serve_watch: NotNegative = 1.0


class ServerSettings(msgspec.Struct, frozen=True):
    """Settings of gunicorn.

    Attributes:
        serve_bind: address to listen on.
        serve_workers: processes, each with all models loaded.
        serve_threads: concurrent requests of a process.
        serve_grace: seconds that running requests get on SIGTERM.
    """

    serve_bind: str = "127.0.0.1:8080"
    serve_workers: Count = 1
    serve_threads: Count = 4
    serve_grace: Annotated[int, msgspec.Meta(ge=0)] = 10


def load_checked(environ: Mapping[str, str]) -> ServerSettings:
    """Return gunicorn's settings, or end the process with a message if the server cannot start."""
    try:
        settings, server = load(Settings, environ), load(ServerSettings, environ)
        load(LogSettings, environ)
        check_directory(Path(settings.models_dir))
        if INHERITED_SOCKETS not in environ:
            check_bind("STRAIGHTLINE_SERVE_BIND", server.serve_bind)
    except ConfigurationError as error:
        # Raised into gunicorn, the error would be a traceback.
        print(f"model server: {error}", file=sys.stderr)  # noqa: T201 - the message for the operator
        raise SystemExit(1) from None
    return server


def check_directory(models: Path) -> None:
    """Check that the model directory exists.

    Raises:
        ConfigurationError: it does not.
    """
    if not models.is_dir():
        raise ConfigurationError(f"there is no model directory {models}. Set STRAIGHTLINE_MODELS_DIR")
