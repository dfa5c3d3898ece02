"""Deployment targets from the settings, and the builder of the forms that they take."""

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
    """Builds the forms of a bundle in a temporary directory.

    Args:
        kit: base images and wheelhouse.
        settings: settings of the deployment.
        environ: environment with DOCKER_HOST.
        wheels: directory that caches downloaded wheels; None keeps no cache.
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
        """Stage a bundle for its targets.

        Raises:
            ConfigurationError: the bundle or the wheelhouse is unusable.
        """
        return Candidate(
            bundle=read_bundle(bundle),
            digest=f"sha256:{content_digest(bundle)}",
            staged=Path(self._built(bundle, "server")[0]),
            work=self._work,
        )

    def load_check(self, candidate: Candidate) -> None:
        """Load the bundle in a child process, or compare an external server with its model.toml.

        Raises:
            NotReady: the bundle cannot be loaded.
            ConfigurationError: the external server does not match model.toml.
        """
        if candidate.bundle.spec.url is None:
            check_bundle_loads(
                candidate.staged, candidate.title, self._settings.deploy_patience, self._environ
            )
        else:
            connect(candidate.bundle.spec)

    def function(self, candidate: Candidate, whole: bool) -> Path:
        """Build the function package, `whole` with its libraries or without, and return its path."""
        return Path(self._built(candidate.bundle.directory, "function-zip" if whole else "function")[0])

    def image(self, candidate: Candidate) -> tuple[str, str]:
        """Build the image and return its name and id."""
        return self._built(candidate.bundle.directory, "image")

    def _built(self, bundle: Path, form: Form) -> tuple[str, str]:
        context = BuildContext(
            out=self._work, settings=self._kit, environ=self._environ, tag=self._settings.container_image
        )
        packages = build_forms(bundle, (form,), context)
        return packages.forms[form], packages.images.get(form, "")


def build_targets(
    backends: tuple[Backend, ...], builder: Builder, settings: DeploySettings, environ: Mapping[str, str]
) -> dict[Backend, DeploymentTarget]:
    """Return the deployment targets of these backends.

    Raises:
        ConfigurationError: a setting is missing or invalid.
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
        )  # the pool starts its servers from there
    # Imported here, so that each loads its libraries only when used.
    if backend == "gpu-container":
        from modelkit.deployment.images import ImageTarget  # noqa: PLC0415

        return ImageTarget(builder.image, environ, settings.deploy_patience, tag=settings.container_image)
    from modelkit.deployment.functions import FunctionTarget  # noqa: PLC0415

    return FunctionTarget(builder.function, role=settings.deploy_role, ready_timeout=settings.deploy_patience)


def kit_settings(environ: Mapping[str, str], wheelhouse: Path | None) -> KitSettings:
    """Return the settings of the builder, with `wheelhouse` instead of the setting's if given."""
    settings = load(KitSettings, environ)
    return settings if wheelhouse is None else msgspec.structs.replace(settings, wheelhouse=wheelhouse)
