"""What is deployed, as it is announced: every model with its versions, its default and its canary."""

from typing import Annotated

import msgspec

from straightline.contracts.model import ModelSpec

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class DeployedVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of a model that is in place.

    Attributes:
        spec: its tensors and limits; its `backends` are those where it is in place.
        digest: of its bundle, `sha256:` and hexadecimal.
        image: id of its container image, which may be run; None where it has none.
        function: name of its serverless function; None where it goes by the model's name alone.
    """

    spec: ModelSpec
    digest: str
    image: str | None = None
    function: str | None = None


class DeployedModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The versions of a model.

    Attributes:
        versions: by their names, the one deployed last at the end; none where the model was removed.
        default: what a request gets that pins none; None where the model was removed.
        canary: the version that a share of those requests gets instead.
        share: percent of them.
    """

    versions: dict[str, DeployedVersion] = {}
    default: str | None = None
    canary: str | None = None
    share: Percent = 0.0


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """All that is deployed; the one of the highest revision stands.

    Attributes:
        revision: rises with each change.
        models: by name.
    """

    revision: int
    models: dict[str, DeployedModel]
