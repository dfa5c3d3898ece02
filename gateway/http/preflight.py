"""Checks of the settings before gunicorn starts, which would report a wrong one with tracebacks."""

from collections.abc import Mapping

from gateway.http.settings import ServerSettings, Settings
from outcomes.db.database import engine_for
from straightline.amqp.connection.address import read_address
from straightline.errors import ConfigurationError
from straightline.models.catalogue import read_catalogue
from straightline.settings import load
from straightline.storage.store import Store
from straightline.support.bind_check import check_bind


def check(environ: Mapping[str, str]) -> None:
    """Check the settings without connecting to anything.

    Raises:
        ConfigurationError: a setting is missing or wrong; the message names it and its valid values.
    """
    settings, server = load(Settings, environ), load(ServerSettings, environ)
    try:
        read_address(settings.broker_url)
    except ConfigurationError as error:
        raise ConfigurationError(f"STRAIGHTLINE_BROKER_URL cannot be used: {error}") from error
    engine_for(settings.database_url, name="straightline-gateway").dispose()
    if settings.store:
        try:
            Store(settings.store)
        except ConfigurationError as error:
            raise ConfigurationError(f"STRAIGHTLINE_STORE cannot be used: {error}") from error
    _ = settings.trusted
    read_catalogue(settings.models_dir)
    check_bind("STRAIGHTLINE_GATEWAY_BIND", server.gateway_bind)
