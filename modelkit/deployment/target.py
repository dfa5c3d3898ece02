"""What every place offers that a bundle can be put into."""

from pathlib import Path
from typing import Protocol

import msgspec

from model_server.models.bundle import Bundle
from straightline.contracts.deployed import DeployedVersion


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that is to be deployed.

    Attributes:
        bundle: as it was packaged.
        digest: of it, `sha256:` and hexadecimal.
        staged: a copy with the packages that it needs, as a model server takes it.
        work: a directory for what is built on the way.
        receives_traffic: whether it becomes, or stays, the default or the canary, so that its `warm` holds.
    """

    bundle: Bundle
    digest: str
    staged: Path
    work: Path
    receives_traffic: bool = True

    @property
    def title(self) -> str:
        """Name and version, for people."""
        return f"{self.bundle.spec.name} {self.bundle.spec.version}"


class DeployedForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of a place; None where it has nothing of the kind."""

    image: str | None = None
    function: str | None = None


class DeploymentTarget(Protocol):
    """Where a bundle can run."""

    def deploy(self, candidate: Candidate) -> DeployedForm:
        """Put it there, try it, and return what others must know of it; again changes nothing.

        Raises:
            NotReady: it does not answer there.
            NotPlaced: it could not be put there.
            StraightLineError: what building it raises.
        """
        ...

    def remove(self, version: DeployedVersion) -> None:
        """Take a version away; one that is not there is no fault.

        Raises:
            NotPlaced: it could not be taken away.
        """
        ...
