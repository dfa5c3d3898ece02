"""How many servers a model has: which to start, which to let go, and which one takes a request. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from straightline.contracts import ModelSpec
from straightline.models.registry_view import RegistryView
from straightline.names import Backend
from workers.containers.pool.warm_server import ModelKey, Slot

BACKEND: Final[Backend] = "gpu-container"


def prewarmed_models(known: RegistryView) -> list[ModelSpec]:
    """Return the versions of which servers are to stand ready: of each model the default, and its canary."""
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


def least_used(slots: Iterable[Slot]) -> Slot | None:
    """Return who takes a request: who is ready before who starts, and of those the one with the fewest."""
    return min(slots, key=lambda slot: (slot.warm is None, slot.users), default=None)


def should_scale_out(slots: Sequence[Slot], model: ModelSpec, busy: int) -> bool:
    """Whether a model's servers are too few: each has `busy` requests, and there may be one more."""
    return (
        len(slots) < (model.warm.maximum or 1)
        and all(slot.users >= busy for slot in slots)
        and all(slot.warm is not None for slot in slots)
    )


def models_to_start(slots: Collection[Slot], wanted: Iterable[ModelSpec], room: int) -> list[ModelSpec]:
    """Return what to start so that each model has its minimum, as far as there is room.

    Every model gets its first server before one gets its second.
    """
    there = Counter(slot.key for slot in slots)
    short = [
        (there[(model.name, model.version)] + more, number, model)
        for number, model in enumerate(wanted)
        for more in range(model.warm.minimum - there[(model.name, model.version)])
    ]
    return [model for _, _, model in sorted(short, key=lambda each: each[:2])[: max(0, room)]]


def idle_slots(
    slots: Collection[Slot], wanted: Mapping[ModelKey, ModelSpec], idle: float, now: float
) -> list[Slot]:
    """Return those that were unused too long and are more than their model's minimum, the oldest first."""
    there = Counter(slot.key for slot in slots)
    found = []
    for slot in sorted(slots, key=lambda slot: slot.last_used):
        model = wanted.get(slot.key)
        minimum = 0 if model is None else model.warm.minimum
        limit = slot.model.warm.idle or idle
        if slot.unused and now - slot.last_used >= limit and there[slot.key] > minimum:
            there[slot.key] -= 1
            found.append(slot)
    return found


def eviction_candidate(slots: Collection[Slot], wanted: Mapping[ModelKey, ModelSpec]) -> Slot | None:
    """Return who makes room for another model: the longest unused, of a minimum only where all are."""
    there = Counter(slot.key for slot in slots)

    def needed(slot: Slot) -> bool:
        model = wanted.get(slot.key)
        return model is not None and there[slot.key] <= model.warm.minimum

    unused = (slot for slot in slots if slot.unused)
    return min(unused, key=lambda slot: (needed(slot), slot.last_used), default=None)
