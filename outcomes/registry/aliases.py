"""What a model's name means, and how that moves. Pure."""

from collections.abc import Collection

import msgspec

from outcomes.db.errors import RegistryRefused


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """Of one model.

    Attributes:
        version: the default; None where the model has no version.
        previous: the default before it.
        canary: the version that a share of the requests gets which pin none.
        share: percent of them.
    """

    version: str | None = None
    previous: str | None = None
    canary: str | None = None
    share: float = 0.0


def made_default(alias: Alias, version: str) -> Alias:
    """Return the alias after a version has become the default; where it was the canary, it is none more."""
    promoted = alias.canary == version
    return Alias(
        version=version,
        previous=alias.previous if alias.version == version else alias.version,
        canary=None if promoted else alias.canary,
        share=0.0 if promoted else alias.share,
    )


def made_canary(alias: Alias, model: str, version: str, share: float) -> Alias:
    """Return the alias after a version has been given a share.

    Raises:
        RegistryRefused: there is no other version that the rest could go to.
    """
    if alias.version is None:
        raise RegistryRefused(
            f"{model} has no version yet that the other requests could go to: deploy {version} without "
            "--canary"
        )
    if alias.version == version:
        raise RegistryRefused(
            f"{version} is the default of {model} already, so that it gets all requests: deploy another "
            "version as a canary, or roll back first"
        )
    return msgspec.structs.replace(alias, canary=version, share=share)


def rolled_back(alias: Alias, model: str, versions: Collection[str]) -> Alias:
    """Return the alias after a step back: of a canary its end, else the default before this one.

    Raises:
        RegistryRefused: there is nothing to go back to.
    """
    if alias.canary is not None:
        return msgspec.structs.replace(alias, canary=None, share=0.0)
    if alias.version is None:
        raise RegistryRefused(
            f"there is no model {model} in the registry: `python -m modelkit list` shows those that there are"
        )
    if alias.previous is None or alias.previous not in versions:
        raise RegistryRefused(
            f"{model} {alias.version} has no version before it that is still in place: deploy the one that "
            "is wanted"
        )
    return msgspec.structs.replace(alias, version=alias.previous, previous=alias.version)


def removed(alias: Alias, model: str, version: str) -> Alias:
    """Return the alias after a version has been taken away.

    Raises:
        RegistryRefused: requests go to it.
    """
    if version == alias.version:
        raise RegistryRefused(
            f"{version} is the default of {model}: roll back or deploy another version first, or remove the "
            "whole model with --all"
        )
    if version == alias.canary:
        raise RegistryRefused(f"{version} is the canary of {model}: roll back first")
    if version == alias.previous:
        return msgspec.structs.replace(alias, previous=None)
    return alias
