"""The allowlist of images, by digest: a name may point to another image later."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from straightline.errors import ConfigurationError

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class ImageAllowlist:
    """The images that may be run.

    Args:
        listed: digests, separated by commas or spaces: an image's id, or its manifest's digest in a registry;
            none allows every image.

    Raises:
        ConfigurationError: an entry is not a digest.
    """

    def __init__(self, listed: str) -> None:
        self._digests = frozenset(listed.replace(",", " ").split())
        self._deployed: frozenset[str] = frozenset()
        wrong = sorted(digest for digest in self._digests if not _DIGEST.fullmatch(digest))
        if wrong:
            raise ConfigurationError(
                f"STRAIGHTLINE_CONTAINER_DIGESTS has {wrong[0][:80]!r}: a digest is sha256: and 64 digits; "
                "`docker image inspect --format '{{.Id}}' IMAGE` prints it"
            )

    def with_deployed(self, images: Collection[str]) -> "ImageAllowlist":
        """Return the allowlist with exactly these deployed images in addition; an empty one stays empty."""
        other = ImageAllowlist(" ".join(self._digests))
        other._deployed = frozenset(images)
        return other

    def __bool__(self) -> bool:
        """Return whether the list has digests."""
        return bool(self._digests)

    def allows(self, image_id: str, names: Iterable[str] | None) -> bool:
        """Return whether an image may be run.

        Args:
            image_id: of the image.
            names: its `name@digest` in each registry.
        """
        known = {image_id, *(name.rpartition("@")[2] for name in names or ())}
        return not self._digests or not known.isdisjoint(self._digests | self._deployed)
