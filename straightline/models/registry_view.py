"""A component's view of the models: its directory, overlaid by deployment announcements."""

import hashlib
from typing import Final

import msgspec

from straightline.contracts.deployed import Deployed, DeployedModel, DeployedVersion
from straightline.contracts.model import ModelSpec
from straightline.models.catalogue import Catalogue

NOTHING_DEPLOYED: Final = Deployed(revision=-1, models={})
"""The state before the first announcement."""
_SPAN: Final = 2**64


class RegistryView(msgspec.Struct, frozen=True):
    """The models of a directory and the deployed ones, which replace directory models of the same name.

    Attributes:
        directory: read when the component started.
        deployed: the latest announcement.
    """

    directory: Catalogue
    deployed: Deployed = NOTHING_DEPLOYED

    def find(self, name: str, version: str | None = None) -> ModelSpec | None:
        """Return a version, or the default for None; None if it does not exist."""
        model = self.deployed.models.get(name)
        if model is None:
            return self.directory.find(name, version)
        wanted = model.default if version is None else version
        found = None if wanted is None else model.versions.get(wanted)
        return None if found is None else found.spec

    def version(self, name: str, version: str) -> DeployedVersion | None:
        """Return a deployed version with its digest, image and function; None if it was not deployed."""
        model = self.deployed.models.get(name)
        return None if model is None else model.versions.get(version)

    def catalogue(self) -> Catalogue:
        """Return every version of every model; the default is the last of a model's versions."""
        models = dict(self.directory.models)
        for name, model in self.deployed.models.items():
            models.pop(name, None)
            if model.versions:
                models[name] = {version: each.spec for version, each in _ordered(model)}
        return Catalogue(models)

    def resolve_version(self, name: str, request_id: str) -> str | None:
        """Return the version for a request that pins none; None if the model was not deployed."""
        model = self.deployed.models.get(name)
        if model is None:
            return None
        return model.canary if takes_canary(model, request_id) else model.default

    def updated(self, deployed: Deployed) -> "RegistryView":
        """Return the view after an announcement; an older one changes nothing."""
        return self if deployed.revision <= self.deployed.revision else RegistryView(self.directory, deployed)


def takes_canary(model: DeployedModel, request_id: str) -> bool:
    """Return whether a request goes to the canary. The decision is a hash of canary version and request id.

    Another canary gets other requests, so that no caller is always among the first.
    """
    if model.canary is None or model.canary not in model.versions:
        return False
    mark = hashlib.blake2b(f"{model.canary}\0{request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(mark) < model.share / 100 * _SPAN


def _ordered(model: DeployedModel) -> list[tuple[str, DeployedVersion]]:
    return sorted(model.versions.items(), key=lambda item: item[0] == model.default)
