"""The places that the environment describes, with what builds the forms that go there."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import msgspec

from model_server.models.bundle import content_digest, read_bundle
from modelkit.deployment.directory import DirectoryTarget
from modelkit.deployment.load_check import check_bundle_loads
from modelkit.deployment.settings import DeploySettings, LocalServerSettings
from modelkit.deployment.target import Candidate, DeploymentTarget
from modelkit.job_runtime.remote import connect
from modelkit.package.forms import BuildContext, Form, build_forms
from modelkit.settings import KitSettings
from straightline.names import Backend
from straightline.settings import load


class Builder:
    """Builds a bundle's forms in a directory of its own, which goes with it.

    Args:
        kit: base images and wheelhouse.
        settings: of deploying.
        environ: where DOCKER_HOST stands.
        wheels: where wheels that are fetched are kept; None fetches them anew each time.
    """

    def __init__(
        self,
        kit: KitSettings,
        settings: DeploySettings,
        environ: Mapping[str, str],
        *,
        wheels: Path | None = None,
    ) -> None:
        self._kit = kit
        self._settings = settings
        self._environ = environ
        self._wheels = wheels
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self._work = Path(self._held.enter_context(TemporaryDirectory(prefix="straightline-deploy-")))
        if self._wheels is not None:
            self._wheels.mkdir(parents=True, exist_ok=True)
            (self._work / "wheels").symlink_to(self._wheels.resolve(), target_is_directory=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def candidate(self, bundle: Path) -> Candidate:
        """Return a bundle as it goes to its places.

        Raises:
            ConfigurationError: bundle or wheelhouse cannot be used.
        """
        return Candidate(
            bundle=read_bundle(bundle),
            digest=f"sha256:{content_digest(bundle)}",
            staged=Path(self._built(bundle, "server")[0]),
            work=self._work,
        )

    def load_check(self, candidate: Candidate) -> None:
        """Try a bundle; of an external one, ask its server.

        Raises:
            NotReady: it cannot be loaded.
            ConfigurationError: its server does not serve it as its model.toml says.
        """
        if candidate.bundle.spec.url is None:
            check_bundle_loads(
                candidate.staged, candidate.title, self._settings.deploy_patience, self._environ
            )
        else:
            connect(candidate.bundle.spec)

    def function(self, candidate: Candidate, whole: bool) -> Path:
        """Build the function's package, with its libraries or without."""
        return Path(self._built(candidate.bundle.directory, "function-zip" if whole else "function")[0])

    def image(self, candidate: Candidate) -> tuple[str, str]:
        """Build the image; return its name and its id."""
        return self._built(candidate.bundle.directory, "image")

    def _built(self, bundle: Path, form: Form) -> tuple[str, str]:
        workshop = BuildContext(
            out=self._work, settings=self._kit, environ=self._environ, tag=self._settings.container_image
        )
        packages = build_forms(bundle, (form,), workshop)
        return packages.forms[form], packages.images.get(form, "")


def build_targets(
    backends: tuple[Backend, ...], builder: Builder, settings: DeploySettings, environ: Mapping[str, str]
) -> dict[Backend, DeploymentTarget]:
    """Return the places of these backends.

    Raises:
        ConfigurationError: a setting of one is missing or wrong.
    """
    return {backend: _target(backend, builder, settings, environ) for backend in backends}


def _target(
    backend: Backend, builder: Builder, settings: DeploySettings, environ: Mapping[str, str]
) -> DeploymentTarget:
    if backend == "local":
        server = load(LocalServerSettings, environ).local_url
        return DirectoryTarget(settings.models_dir, server, settings.deploy_patience)
    if backend == "gpu-container" and settings.container_driver == "process":
        return DirectoryTarget(
            settings.models_dir, None, settings.deploy_patience
        )  # its servers start from there
    # Each with its libraries only where it is used.
    if backend == "gpu-container":
        from modelkit.deployment.images import ImageTarget  # noqa: PLC0415

        return ImageTarget(builder.image, environ, settings.deploy_patience, tag=settings.container_image)
    from modelkit.deployment.functions import FunctionTarget  # noqa: PLC0415

    return FunctionTarget(builder.function, role=settings.deploy_role, ready_timeout=settings.deploy_patience)


def kit_settings(environ: Mapping[str, str], wheelhouse: Path | None) -> KitSettings:
    """Return the settings of the forms' builder; a wheelhouse that is given goes before the setting's."""
    settings = load(KitSettings, environ)
    return settings if wheelhouse is None else msgspec.structs.replace(settings, wheelhouse=wheelhouse)
