"""What the system knows of a model: its tensors, its limits and where it may run."""

import msgspec

from straightline.names import BACKENDS, Backend


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tensor of the Open Inference Protocol (V2): `shape` holds -1 where any size is taken."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model, as its `model.toml` says it.

    Attributes:
        name: what requests call it.
        version: a word of the owner's; `version` in a request pins one.
        inputs: the tensors it takes, all of them required.
        outputs: the tensors it gives.
        backends: where it may run.
        max_payload: for a backend, the largest `data` in bytes that it takes; absent means no limit.
        timeout: seconds that one call may take.
    """

    name: str
    version: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    backends: tuple[Backend, ...] = BACKENDS
    max_payload: dict[Backend, int] = {}
    timeout: float = 30.0

    @property
    def batchable(self) -> bool:
        """Whether requests may be joined along the first dimension: every tensor leaves it open."""
        return all(spec.shape[:1] == (-1,) for spec in (*self.inputs, *self.outputs))
