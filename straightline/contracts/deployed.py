"""Announcements of the deployed models, with their versions, defaults and canaries."""

from typing import Annotated

import msgspec

from straightline.contracts.model import ModelSpec

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class DeployedVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A deployed version of a model.

    Attributes:
        spec: its tensors and limits; `backends` are those where it is deployed.
        digest: of its bundle, `sha256:` and hexadecimal digits.
        image: id of its container image, which is allowed to run; None if it has none.
        function: name of its serverless function; None if that is the model's name.
    """

    spec: ModelSpec
    digest: str
    image: str | None = None
    function: str | None = None


class DeployedModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The versions of a model.

    Attributes:
        versions: by name, in order of deployment; empty if the model was removed.
        default: version for requests that pin none; None if the model was removed.
        canary: version that a share of those requests gets instead.
        share: percent of those requests.
    """

    versions: dict[str, DeployedVersion] = {}
    default: str | None = None
    canary: str | None = None
    share: Percent = 0.0


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """All deployed models; the announcement with the highest revision is valid.

    Attributes:
        revision: increases with each change.
        models: by name.
    """

    revision: int
    models: dict[str, DeployedModel]
