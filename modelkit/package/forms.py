"""The deployable forms of a bundle, and their builders."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from model_server.models.bundle import content_digest, read_bundle
from modelkit.package.requirement_files import NVIDIA_REQUIREMENTS, REQUIREMENTS
from modelkit.settings import KitSettings
from modelkit.wheels import wheelhouse_for
from straightline.contracts import ModelSpec

Form = Literal["server", "function", "function-zip", "function-image", "image", "image-nvidia"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)
_FROM_WHEELS: Final = ("function-zip", "function-image", "image", "image-nvidia")


class Packages(msgspec.Struct, frozen=True, kw_only=True):
    """The built forms of a bundle.

    Attributes:
        model, version: the model.
        digest: digest of the bundle, `sha256:` and hexadecimal; each form carries it.
        forms: directory, file or image name of each form.
        images: id of each form that is an image.
    """

    model: str
    version: str
    digest: str
    forms: dict[str, str]
    images: dict[str, str]


class BuildContext(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a build.

    Attributes:
        out: directory for `models/`, `functions/`, `archives/`, and `wheels/` without a wheelhouse.
        settings: base images and wheelhouse.
        environ: environment with DOCKER_HOST.
        tag: template of image names with `{model}` and `{version}`; variants append a suffix.
    """

    out: Path
    settings: KitSettings
    environ: Mapping[str, str]
    tag: str = "straightline/{model}:{version}"


def build_forms(bundle: Path, forms: tuple[Form, ...], context: BuildContext) -> Packages:
    """Build forms of a bundle.

    Raises:
        ConfigurationError: the bundle, the wheelhouse or a name is unusable.
        ImageBuildFailed: an image cannot be built.
    """
    spec = read_bundle(bundle).spec
    built: dict[str, str] = {}
    images: dict[str, str] = {}
    for form in forms:
        if form.endswith(("image", "image-nvidia")):
            built[form], images[form] = _image(bundle, form, context)
        else:
            built[form] = str(_FILES[form](bundle, form, context))
    digest = f"sha256:{content_digest(bundle)}"
    return Packages(model=spec.name, version=spec.version, digest=digest, forms=built, images=images)


def _server(bundle: Path, form: Form, context: BuildContext) -> Path:
    from modelkit.package.server import package_server  # noqa: PLC0415 - each form loads only its libraries

    return package_server(bundle, context.out / "models", wheelhouse=_wheelhouse(bundle, form, context))


def _function(bundle: Path, form: Form, context: BuildContext) -> Path:
    from modelkit.package.function import package_function  # noqa: PLC0415

    return package_function(bundle, context.out / "functions", wheelhouse=_wheelhouse(bundle, form, context))


def _archive(bundle: Path, form: Form, context: BuildContext) -> Path:
    from modelkit.package.archive import package_archive  # noqa: PLC0415

    wheels = _require_wheelhouse(_wheelhouse(bundle, form, context))
    return package_archive(bundle, context.out / "archives", wheelhouse=wheels)


def image_name(template: str, spec: ModelSpec) -> str:
    """Fill in `{model}` and `{version}`; Docker needs lower-case names."""
    return template.format(model=spec.name.lower(), version=spec.version)


def _image(bundle: Path, form: Form, context: BuildContext) -> tuple[str, str]:
    from modelkit.package.image import package_image  # noqa: PLC0415

    spec, settings = read_bundle(bundle).spec, context.settings
    nvidia, function = form == "image-nvidia", form == "function-image"
    tag = image_name(context.tag, spec)
    tag += "-nvidia" if nvidia else "-function" if function else ""
    ident = package_image(
        bundle,
        base=settings.nvidia_base_image if nvidia else settings.base_image,
        wheelhouse=_require_wheelhouse(_wheelhouse(bundle, form, context)),
        tag=tag,
        requirements=NVIDIA_REQUIREMENTS if nvidia else REQUIREMENTS,
        form="function" if function else "server",
        environ=context.environ,
    )
    return tag, ident


_FILES: Final[Mapping[str, Callable[[Path, Form, BuildContext], Path]]] = {
    "server": _server,
    "function": _function,
    "function-zip": _archive,
}


def _wheelhouse(bundle: Path, form: Form, context: BuildContext) -> Path | None:
    """Return the directory with the wheels of a form; None if it needs none."""
    own = read_bundle(bundle).spec.requirements
    lists = [bundle / own] if own is not None else []
    if form in _FROM_WHEELS:
        lists.insert(0, NVIDIA_REQUIREMENTS if form == "image-nvidia" else REQUIREMENTS)
    return wheelhouse_for(lists, context.out / "wheels", context.settings.wheelhouse)


def _require_wheelhouse(wheelhouse: Path | None) -> Path:
    if wheelhouse is None:
        raise AssertionError("a form that installs packages has a requirements file")
    return wheelhouse
