"""The versions that a model name resolves to, and how deployments change them."""

from collections.abc import Collection

import msgspec

from outcomes.db.errors import RegistryRefused


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """Versions that requests of one model get without a pin.

    Attributes:
        version: the default; None if the model has no version.
        previous: the default before it.
        canary: version that gets a share of the requests.
        share: percent of the requests that the canary gets.
    """

    version: str | None = None
    previous: str | None = None
    canary: str | None = None
    share: float = 0.0


def made_default(alias: Alias, version: str) -> Alias:
    """Return the alias with a new default version; the canary ends if it becomes the default."""
    promoted = alias.canary == version
    return Alias(
        version=version,
        previous=alias.previous if alias.version == version else alias.version,
        canary=None if promoted else alias.canary,
        share=0.0 if promoted else alias.share,
    )


def made_canary(alias: Alias, model: str, version: str, share: float) -> Alias:
    """Return the alias with a canary that gets `share` percent.

    Raises:
        RegistryRefused: no other version could take the rest.
    """
    if alias.version is None:
        raise RegistryRefused(
            f"{model} has no version for the other requests: deploy {version} without --canary"
        )
    if alias.version == version:
        raise RegistryRefused(
            f"{version} is already the default of {model} and gets all requests: deploy another version as a "
            "canary, or roll back first"
        )
    return msgspec.structs.replace(alias, canary=version, share=share)


def rolled_back(alias: Alias, model: str, versions: Collection[str]) -> Alias:
    """Return the alias one step back: without its canary, or else with the previous default.

    Raises:
        RegistryRefused: there is no earlier state.
    """
    if alias.canary is not None:
        return msgspec.structs.replace(alias, canary=None, share=0.0)
    if alias.version is None:
        raise RegistryRefused(f"no model {model} in the registry: `python -m modelkit list` shows all models")
    if alias.previous is None or alias.previous not in versions:
        raise RegistryRefused(
            f"{model} {alias.version} cannot be rolled back: no version before it is still deployed. Deploy "
            "the version that you want"
        )
    return msgspec.structs.replace(alias, version=alias.previous, previous=alias.version)


def removed(alias: Alias, model: str, version: str) -> Alias:
    """Return the alias without a version.

    Raises:
        RegistryRefused: the version gets requests.
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
