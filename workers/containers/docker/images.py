"""Which image a model is started from: the one that was deployed, by its id; else the one of its name."""

from collections.abc import Iterable, Mapping
from typing import Any

from docker import DockerClient
from docker.errors import ImageNotFound

from straightline.contracts import ModelSpec
from workers.containers.docker.image_allowlist import ImageAllowlist
from workers.containers.docker.image_names import image_name, models_of
from workers.containers.pool.warm_server import ModelKey
from workers.protocol.errors import BackendFault


class ImageResolver:
    """The images of an engine that may be run.

    Args:
        template: of their names.
        digests: those that the settings list.

    Raises:
        ConfigurationError: the template cannot be used, or what is listed is no digest.
    """

    def __init__(self, template: str, digests: str) -> None:
        image_name(template, "model", "version")
        self._template = template
        self._allowed = ImageAllowlist(digests)
        self._deployed: Mapping[ModelKey, str] = {}

    def learn(self, deployed: Mapping[ModelKey, str]) -> None:
        """Take the ids of the images that were deployed, and no others."""
        self._deployed = dict(deployed)
        self._allowed = self._allowed.with_deployed(deployed.values())

    def find(self, client: DockerClient, model: ModelSpec) -> str:
        """Return the id of a model's image; while it is built again, its name leads to another one.

        Raises:
            BackendFault: `not_deployed`, where the engine has none, or none that may be run.
            APIError: as the client.
        """
        deployed = self._deployed.get((model.name, model.version))
        image = deployed or image_name(self._template, model.name, model.version)
        try:
            found = client.images.get(image)
        except ImageNotFound as error:
            raise BackendFault(
                _not_here(image, model) if deployed else _not_built(image), error_class="not_deployed"
            ) from error
        if not self._allowed.allows(str(found.id), found.attrs.get("RepoDigests")):
            raise BackendFault(
                f"the image {image} is {found.id}, which STRAIGHTLINE_CONTAINER_DIGESTS does not list: "
                "add it there if it is the one you mean",
                error_class="not_deployed",
            )
        return str(found.id)

    def models(self, images: Iterable[Mapping[str, Any]]) -> list[str] | None:
        """Return the models that these images are of, None where their names do not tell.

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


def _not_here(image: str, model: ModelSpec) -> str:
    return (
        f"this engine has not {image}, the image that was deployed of {model.name} {model.version}: copy it "
        f"from the engine that has it (`docker image save {image} | docker --host HOST image load`), or, "
        "where none has it any more, deploy the version again"
    )


def _not_built(image: str) -> str:
    return (
        f"the engine has no image {image}: build it with `python -m modelkit package --form image`, or pull "
        "it; the name comes from STRAIGHTLINE_CONTAINER_IMAGE"
    )
