"""Which GPUs a container gets: by their ids, the least loaded first. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from straightline.errors import ConfigurationError
from workers.protocol.errors import BackendFault

GPUS_LABEL: Final = "straightline.gpus"
"""On a container: the ids of its devices, apart by commas. From these labels the loads are counted, so that
the workers of an engine know of each other's."""


def parse_ids(text: str) -> tuple[str, ...]:
    """Read the ids of STRAIGHTLINE_CONTAINER_GPUS, apart by commas or spaces; none leaves it to the engine.

    Raises:
        ConfigurationError: one stands there twice.
    """
    ids = tuple(text.replace(",", " ").split())
    if len(set(ids)) != len(ids):
        raise ConfigurationError(f"STRAIGHTLINE_CONTAINER_GPUS lists a device twice: {text[:200]!r}")
    return ids


def choose_gpus(devices: Sequence[str], taken: Iterable[str], count: int) -> tuple[str, ...]:
    """Choose devices for a container.

    Args:
        devices: ids of all that there are, in the order in which they are preferred.
        taken: of each container that runs, the label with its devices.
        count: how many the model asks for; one that asks for none shares the least loaded one.

    Raises:
        BackendFault: `no_capacity`, there are not so many.
    """
    wanted = max(1, count)
    if wanted > len(devices):
        raise BackendFault(
            f"the model asks for {wanted} GPUs and STRAIGHTLINE_CONTAINER_GPUS lists {len(devices)}: lower "
            "`gpus` in its model.toml, or list more",
            error_class="no_capacity",
        )
    loads = dict.fromkeys(devices, 0)
    for label in taken:
        for device in parse_ids(label):
            if device in loads:
                loads[device] += 1
    return tuple(sorted(devices, key=lambda device: loads[device])[:wanted])  # stable: by preference
