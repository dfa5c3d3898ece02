"""The forms that a bundle can be deployed in, each built by its name."""

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
    """A bundle in the forms that were built of it.

    Attributes:
        model, version: what it is.
        digest: of the bundle, `sha256:` and hexadecimal; each form carries it.
        forms: for each form, the directory or file, or the image's name.
        images: for each form that is an image, its id.
    """

    model: str
    version: str
    digest: str
    forms: dict[str, str]
    images: dict[str, str]


class BuildContext(msgspec.Struct, frozen=True, kw_only=True):
    """What packages are built with.

    Attributes:
        out: gets `models/`, `functions/` and `archives/`, and `wheels/` where no wheelhouse is set.
        settings: base images and wheelhouse.
        environ: where DOCKER_HOST stands.
        tag: template of the images' names with `{model}` and `{version}`; the variants add to it.
    """

    out: Path
    settings: KitSettings
    environ: Mapping[str, str]
    tag: str = "straightline/{model}:{version}"


def build_forms(bundle: Path, forms: tuple[Form, ...], workshop: BuildContext) -> Packages:
    """Build each of these forms of one bundle.

    Raises:
        ConfigurationError: the bundle, the wheelhouse or a name cannot be used.
        ImageBuildFailed: an image cannot be built.
    """
    spec = read_bundle(bundle).spec
    built: dict[str, str] = {}
    images: dict[str, str] = {}
    for form in forms:
        if form.endswith(("image", "image-nvidia")):
            built[form], images[form] = _image(bundle, form, workshop)
        else:
            built[form] = str(_FILES[form](bundle, form, workshop))
    digest = f"sha256:{content_digest(bundle)}"
    return Packages(model=spec.name, version=spec.version, digest=digest, forms=built, images=images)


def _server(bundle: Path, form: Form, workshop: BuildContext) -> Path:
    from modelkit.package.server import package_server  # noqa: PLC0415 - each form loads what it needs

    return package_server(bundle, workshop.out / "models", wheelhouse=_wheelhouse(bundle, form, workshop))


def _function(bundle: Path, form: Form, workshop: BuildContext) -> Path:
    from modelkit.package.function import package_function  # noqa: PLC0415

    return package_function(
        bundle, workshop.out / "functions", wheelhouse=_wheelhouse(bundle, form, workshop)
    )


def _archive(bundle: Path, form: Form, workshop: BuildContext) -> Path:
    from modelkit.package.archive import package_archive  # noqa: PLC0415

    wheels = _require_wheelhouse(_wheelhouse(bundle, form, workshop))
    return package_archive(bundle, workshop.out / "archives", wheelhouse=wheels)


def image_name(template: str, spec: ModelSpec) -> str:
    """Fill in `{model}` and `{version}`; Docker wants names in lower case."""
    return template.format(model=spec.name.lower(), version=spec.version)


def _image(bundle: Path, form: Form, workshop: BuildContext) -> tuple[str, str]:
    from modelkit.package.image import package_image  # noqa: PLC0415

    spec, settings = read_bundle(bundle).spec, workshop.settings
    nvidia, function = form == "image-nvidia", form == "function-image"
    tag = image_name(workshop.tag, spec)
    tag += "-nvidia" if nvidia else "-function" if function else ""
    ident = package_image(
        bundle,
        base=settings.nvidia_base_image if nvidia else settings.base_image,
        wheelhouse=_require_wheelhouse(_wheelhouse(bundle, form, workshop)),
        tag=tag,
        requirements=NVIDIA_REQUIREMENTS if nvidia else REQUIREMENTS,
        form="function" if function else "server",
        environ=workshop.environ,
    )
    return tag, ident


_FILES: Final[Mapping[str, Callable[[Path, Form, BuildContext], Path]]] = {
    "server": _server,
    "function": _function,
    "function-zip": _archive,
}


def _wheelhouse(bundle: Path, form: Form, workshop: BuildContext) -> Path | None:
    """Return where the form's wheels are; None where it needs none."""
    own = read_bundle(bundle).spec.requirements
    lists = [bundle / own] if own is not None else []
    if form in _FROM_WHEELS:
        lists.insert(0, NVIDIA_REQUIREMENTS if form == "image-nvidia" else REQUIREMENTS)
    return wheelhouse_for(lists, workshop.out / "wheels", workshop.settings.wheelhouse)


def _require_wheelhouse(wheelhouse: Path | None) -> Path:
    if wheelhouse is None:
        raise AssertionError("a form that is built of wheels has a list of them")
    return wheelhouse
