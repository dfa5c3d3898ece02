"""The gateway's settings, looked at before gunicorn starts: it would tell of a wrong one by tracebacks."""

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
    """Do nothing where the gateway can start with these variables; nothing is connected to.

    Raises:
        ConfigurationError: one is missing or wrong; the message names it and says what it takes.
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
