"""The image of a model: the deployed one, by its id; else the one of the model's name."""

from collections.abc import Iterable, Mapping
from typing import Any

from docker import DockerClient
from docker.errors import ImageNotFound

from straightline.contracts import ModelSpec
from workers.containers.policy.image_allowlist import ImageAllowlist
from workers.containers.policy.image_names import image_name, models_of
from workers.containers.policy.scaling import ModelKey
from workers.protocol.errors import BackendFault


class ImageResolver:
    """Finds the allowed image of a model.

    Args:
        template: of the images' names.
        digests: the configured allowlist.

    Raises:
        ConfigurationError: the template is unusable, or an entry of the allowlist is not a digest.
    """

    def __init__(self, template: str, digests: str) -> None:
        image_name(template, "model", "version")
        self._template = template
        self._allowed = ImageAllowlist(digests)
        self._deployed: Mapping[ModelKey, str] = {}

    def update(self, deployed: Mapping[ModelKey, str]) -> None:
        """Replace the ids of the deployed images."""
        self._deployed = dict(deployed)
        self._allowed = self._allowed.with_deployed(deployed.values())

    def find(self, client: DockerClient, model: ModelSpec) -> str:
        """Return the id of a model's image, which a rebuild under the same name does not change.

        Raises:
            BackendFault: `not_deployed`, if the engine does not have it, or it is not allowed.
            APIError: from the client.
        """
        deployed = self._deployed.get((model.name, model.version))
        image = deployed or image_name(self._template, model.name, model.version)
        try:
            found = client.images.get(image)
        except ImageNotFound as error:
            raise BackendFault(
                _missing_deployed(image, model) if deployed else _missing_named(image),
                error_class="not_deployed",
            ) from error
        if not self._allowed.allows(str(found.id), found.attrs.get("RepoDigests")):
            raise BackendFault(
                f"the image {image} is {found.id}, which STRAIGHTLINE_CONTAINER_DIGESTS does not list: "
                "add it there if it is the one you mean",
                error_class="not_deployed",
            )
        return str(found.id)

    def models(self, images: Iterable[Mapping[str, Any]]) -> list[str] | None:
        """Return the models of these images; None if their names do not contain the model.

        Args:
            images: as the engine lists them.
        """
        ids, tags = set(), []
        by_id = {image_name(self._template, *key) for key in self._deployed}
        for image in images:
            ids.add(image["Id"])
            if self._allowed.allows(image["Id"], image.get("RepoDigests")):
                tags += [tag for tag in image.get("RepoTags") or () if tag not in by_id]
        named = models_of(self._template, tags)
        if named is None:
            return None
        return sorted({*named, *(key[0] for key, image in self._deployed.items() if image in ids)})


def _missing_deployed(image: str, model: ModelSpec) -> str:
    return (
        f"the engine does not have {image}, the deployed image of {model.name} {model.version}: copy it from "
        f"the engine that has it (`docker image save {image} | docker --host HOST image load`), or deploy "
        "the version again"
    )


def _missing_named(image: str) -> str:
    return (
        f"the engine has no image {image}: build it with `python -m modelkit package --form image`, or pull "
        "it; the name comes from STRAIGHTLINE_CONTAINER_IMAGE"
    )
