"""Scaling: which servers to start, which to remove, and which one takes a request."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from straightline.contracts import ModelSpec
from straightline.models.registry_view import RegistryView
from straightline.names import Backend

BACKEND: Final[Backend] = "gpu-container"
ModelKey = tuple[str, str]
"""A model's name and version."""


class SlotState(Protocol):
    """The state of one server's slot, as `workers.containers.pool.warm_server.Slot` has it."""

    users: int
    last_used: float

    @property
    def model(self) -> ModelSpec:
        """The model and its version."""
        ...

    @property
    def key(self) -> ModelKey:
        """Name and version of the model."""
        ...

    @property
    def ready(self) -> bool:
        """Whether the server has started."""
        ...

    @property
    def unused(self) -> bool:
        """Whether the server may be removed now."""
        ...


S = TypeVar("S", bound=SlotState)


def prewarmed_models(known: RegistryView) -> list[ModelSpec]:
    """Return the versions with a minimum of warm servers: of each model the default and the canary."""
    found: list[ModelSpec | None] = []
    for name in known.catalogue().models:
        found.append(known.find(name))
        deployed = known.deployed.models.get(name)
        if deployed is not None and deployed.canary is not None and deployed.canary != deployed.default:
            found.append(known.find(name, deployed.canary))
    return [
        spec
        for spec in found
        if spec is not None and spec.url is None and BACKEND in spec.backends and spec.warm.minimum > 0
    ]


def least_used(slots: Iterable[S]) -> S | None:
    """Return the slot for a request: a ready one before a starting one, then by the fewest users."""
    return min(slots, key=lambda slot: (not slot.ready, slot.users), default=None)


def should_scale_out(slots: Sequence[SlotState], model: ModelSpec, busy: int) -> bool:
    """Return whether to add a server: all are ready with `busy` users, and the maximum allows another."""
    return (
        len(slots) < (model.warm.maximum or 1)
        and all(slot.users >= busy for slot in slots)
        and all(slot.ready for slot in slots)
    )


def models_to_start(
    slots: Collection[SlotState], prewarmed: Iterable[ModelSpec], free: int
) -> list[ModelSpec]:
    """Return up to `free` models to start, one entry for each server missing from a minimum.

    Every model gets its first server before one gets its second.
    """
    existing = Counter(slot.key for slot in slots)
    short = [
        (existing[(model.name, model.version)] + more, number, model)
        for number, model in enumerate(prewarmed)
        for more in range(model.warm.minimum - existing[(model.name, model.version)])
    ]
    return [model for _, _, model in sorted(short, key=lambda each: each[:2])[: max(0, free)]]


def idle_slots(
    slots: Collection[S], prewarmed: Mapping[ModelKey, ModelSpec], idle_timeout: float, now: float
) -> list[S]:
    """Return the slots that were unused too long and exceed their model's minimum, the oldest first."""
    existing = Counter(slot.key for slot in slots)
    found = []
    for slot in sorted(slots, key=lambda slot: slot.last_used):
        model = prewarmed.get(slot.key)
        minimum = 0 if model is None else model.warm.minimum
        limit = slot.model.warm.idle or idle_timeout
        if slot.unused and now - slot.last_used >= limit and existing[slot.key] > minimum:
            existing[slot.key] -= 1
            found.append(slot)
    return found


def eviction_candidate(slots: Collection[S], prewarmed: Mapping[ModelKey, ModelSpec]) -> S | None:
    """Return the slot to evict for another model: the longest unused, prewarmed ones last."""
    existing = Counter(slot.key for slot in slots)

    def needed(slot: S) -> bool:
        model = prewarmed.get(slot.key)
        return model is not None and existing[slot.key] <= model.warm.minimum

    unused = (slot for slot in slots if slot.unused)
    return min(unused, key=lambda slot: (needed(slot), slot.last_used), default=None)
