"""The choice of GPUs for a container: by their ids, the least loaded first."""

from collections.abc import Iterable, Sequence
from typing import Final

from straightline.errors import ConfigurationError
from workers.protocol.errors import BackendFault

GPUS_LABEL: Final = "straightline.gpus"
"""Label of a container: the ids of its devices, separated by commas. Loads are counted from these labels, so
that the workers of one engine see each other's."""


def parse_ids(text: str) -> tuple[str, ...]:
    """Parse STRAIGHTLINE_CONTAINER_GPUS: ids separated by commas or spaces; none leaves it to the engine.

    Raises:
        ConfigurationError: an id is listed twice.
    """
    ids = tuple(text.replace(",", " ").split())
    if len(set(ids)) != len(ids):
        raise ConfigurationError(f"STRAIGHTLINE_CONTAINER_GPUS lists a device twice: {text[:200]!r}")
    return ids


def choose_gpus(devices: Sequence[str], taken: Iterable[str], count: int) -> tuple[str, ...]:
    """Choose devices for a container.

    Args:
        devices: ids of all devices, in order of preference.
        taken: the device label of each running container.
        count: number that the model requests; a model that requests none shares the least loaded device.

    Raises:
        BackendFault: `no_capacity`, if the model requests more than there are.
    """
    wanted = max(1, count)
    if wanted > len(devices):
        raise BackendFault(
            f"the model requests {wanted} GPUs and STRAIGHTLINE_CONTAINER_GPUS lists {len(devices)}: lower "
            "`gpus` in its model.toml, or list more",
            error_class="no_capacity",
        )
    loads = dict.fromkeys(devices, 0)
    for label in taken:
        for device in parse_ids(label):
            if device in loads:
                loads[device] += 1
    return tuple(sorted(devices, key=lambda device: loads[device])[:wanted])  # stable: by preference
