"""What deploying reads from the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec

from straightline.errors import ConfigurationError
from straightline.settings import load


class DeploySettings(msgspec.Struct, frozen=True):
    """Read once, where a command starts; each name after `STRAIGHTLINE_`.

    Attributes:
        models_dir: directory of models that the model servers watch.
        container_driver: `docker`, or `process`, as the gpu-container pool has it.
        container_image: the image of a model, as the gpu-container pool has it.
        deploy_role: role that functions are created with; AWS needs one, the function host none.
        deploy_patience: seconds that a bundle, an image or a function has to become ready.
    """

    models_dir: Path
    container_driver: Literal["docker", "process"] = "docker"
    container_image: str = "straightline/{model}:{version}"
    deploy_role: str | None = None
    deploy_patience: Annotated[float, msgspec.Meta(gt=0)] = 60.0


class LocalServerSettings(msgspec.Struct, frozen=True):
    """For a deployment to the local pool.

    Attributes:
        local_url: base URL of its model server.
    """

    local_url: str


class RegistryAccessSettings(msgspec.Struct, frozen=True):
    """For every change of the registry.

    Attributes:
        deploy_broker_url: of the user who may announce; without it `STRAIGHTLINE_BROKER_URL` is that user's.
        deploy_database_url: of the role that may write the registry; without it `STRAIGHTLINE_DATABASE_URL`.
    """

    deploy_broker_url: str | None = None
    deploy_database_url: str | None = None


class _FallbackUrls(msgspec.Struct, frozen=True):
    broker_url: str | None = None
    database_url: str | None = None


def broker_url(environ: Mapping[str, str]) -> str:
    """Return the broker's URL for who deploys.

    Raises:
        ConfigurationError: it is not set.
    """
    found = load(RegistryAccessSettings, environ).deploy_broker_url or load(_FallbackUrls, environ).broker_url
    return _require_url(found, "BROKER", "amqp://straightline-deployer:password@host:port/vhost")


class Database(NamedTuple):
    """The registry's database, for who deploys: its URL, and the setting that gave it."""

    url: str
    setting: str


def database(environ: Mapping[str, str]) -> Database:
    """Return the registry's database for who deploys.

    Raises:
        ConfigurationError: its URL is not set.
    """
    own = load(RegistryAccessSettings, environ).deploy_database_url
    found = own or load(_FallbackUrls, environ).database_url
    url = _require_url(found, "DATABASE", "postgresql://straightline_deployer:password@host:port/database")
    return Database(url, "STRAIGHTLINE_DEPLOY_DATABASE_URL" if own else "STRAIGHTLINE_DATABASE_URL")


def _require_url(url: str | None, what: str, example: str) -> str:
    if url is None:
        raise ConfigurationError(
            f"STRAIGHTLINE_DEPLOY_{what}_URL is not set, nor STRAIGHTLINE_{what}_URL in its place: set it to "
            f"{example}, for who deploys"
        )
    return url
