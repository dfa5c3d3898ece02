"""Settings of a deployment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec

from straightline.errors import ConfigurationError
from straightline.settings import load


class DeploySettings(msgspec.Struct, frozen=True):
    """Settings of the targets; each name after `STRAIGHTLINE_`.

    Attributes:
        models_dir: model directory that the model servers watch.
        container_driver: `docker` or `process`, as in the gpu-container pool.
        container_image: name of a model's image, as in the gpu-container pool.
        deploy_role: AWS role of the functions; the function host needs none.
        deploy_patience: seconds until a bundle, an image or a function must be ready.
    """

    models_dir: Path
    container_driver: Literal["docker", "process"] = "docker"
    container_image: str = "straightline/{model}:{version}"
    deploy_role: str | None = None
    deploy_patience: Annotated[float, msgspec.Meta(gt=0)] = 60.0


class LocalServerSettings(msgspec.Struct, frozen=True):
    """Settings of a deployment to the local pool.

    Attributes:
        local_url: base URL of the pool's model server.
    """

    local_url: str


class RegistryAccessSettings(msgspec.Struct, frozen=True):
    """Settings of a change of the registry.

    Attributes:
        deploy_broker_url: URL of a user who may announce; the default is `STRAIGHTLINE_BROKER_URL`.
        deploy_database_url: URL of a role that may write the registry; the default is
            `STRAIGHTLINE_DATABASE_URL`.
    """

    deploy_broker_url: str | None = None
    deploy_database_url: str | None = None


class _FallbackUrls(msgspec.Struct, frozen=True):
    broker_url: str | None = None
    database_url: str | None = None


def broker_url(environ: Mapping[str, str]) -> str:
    """Return the broker URL of the deploying user.

    Raises:
        ConfigurationError: the URL is not set.
    """
    found = load(RegistryAccessSettings, environ).deploy_broker_url or load(_FallbackUrls, environ).broker_url
    return _require_url(found, "BROKER", "amqp://straightline-deployer:password@host:port/vhost")


class Database(NamedTuple):
    """URL of the registry's database, and the setting that has it."""

    url: str
    setting: str


def database(environ: Mapping[str, str]) -> Database:
    """Return the registry's database with the deploying role.

    Raises:
        ConfigurationError: the URL is not set.
    """
    own = load(RegistryAccessSettings, environ).deploy_database_url
    found = own or load(_FallbackUrls, environ).database_url
    url = _require_url(found, "DATABASE", "postgresql://straightline_deployer:password@host:port/database")
    return Database(url, "STRAIGHTLINE_DEPLOY_DATABASE_URL" if own else "STRAIGHTLINE_DATABASE_URL")


def _require_url(url: str | None, what: str, example: str) -> str:
    if url is None:
        raise ConfigurationError(
            f"STRAIGHTLINE_DEPLOY_{what}_URL is not set, nor STRAIGHTLINE_{what}_URL instead. Set it to "
            f"{example}"
        )
    return url
