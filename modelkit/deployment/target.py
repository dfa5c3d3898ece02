"""The interface of a deployment target."""

from pathlib import Path
from typing import Protocol

import msgspec

from model_server.models.bundle import Bundle
from straightline.contracts.deployed import DeployedVersion


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle to deploy.

    Attributes:
        bundle: the bundle as packaged.
        digest: its digest, `sha256:` and hexadecimal.
        staged: directory with a copy and the packages that it needs, as a model server takes it.
        work: directory for intermediate files.
        receives_traffic: whether it is the default or the canary after the deployment, so that `warm` of its
            model.toml applies.
    """

    bundle: Bundle
    digest: str
    staged: Path
    work: Path
    receives_traffic: bool = True

    @property
    def title(self) -> str:
        """Name and version for messages."""
        return f"{self.bundle.spec.name} {self.bundle.spec.version}"


class DeployedForm(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a deployed version that the registry records.

    Attributes:
        image: id of the image; None if there is none.
        function: name that invokes the function; None if there is none.
    """

    image: str | None = None
    function: str | None = None


class DeploymentTarget(Protocol):
    """A place where a version of a model can run."""

    def deploy(self, candidate: Candidate) -> DeployedForm:
        """Deploy a version and test it. Deploying the same one again changes nothing.

        Raises:
            NotReady: the version does not answer there.
            NotPlaced: the target cannot take it.
            StraightLineError: building its form failed.
        """
        ...

    def remove(self, version: DeployedVersion) -> None:
        """Remove a version, if it is there.

        Raises:
            NotPlaced: the version could not be removed.
        """
        ...
