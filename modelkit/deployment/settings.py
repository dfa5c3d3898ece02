"""What deploying reads from the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

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


class DeskSettings(msgspec.Struct, frozen=True):
    """For every change of the registry.

    Attributes:
        deploy_broker_url: of the user who may announce; without it `STRAIGHTLINE_BROKER_URL` is that user's.
        deploy_database_url: of the role that may write the registry; without it `STRAIGHTLINE_DATABASE_URL`.
    """

    deploy_broker_url: str | None = None
    deploy_database_url: str | None = None


class _Broker(msgspec.Struct, frozen=True):
    broker_url: str


class _Database(msgspec.Struct, frozen=True):
    database_url: str


def broker_url(environ: Mapping[str, str]) -> str:
    """Return the broker's URL for who deploys.

    Raises:
        ConfigurationError: it is not set.
    """
    return load(DeskSettings, environ).deploy_broker_url or load(_Broker, environ).broker_url


def database_url(environ: Mapping[str, str]) -> str:
    """Return the registry's URL for who deploys.

    Raises:
        ConfigurationError: it is not set.
    """
    return load(DeskSettings, environ).deploy_database_url or load(_Database, environ).database_url
