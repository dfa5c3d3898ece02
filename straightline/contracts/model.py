"""What the system knows of a model: its tensors, its limits, where it may run, and how it is made."""

from typing import Annotated, Literal

import msgspec

from straightline.names import BACKENDS, Backend

# `$` also matches before a last newline in Python, and `\Z` is no JSON Schema: hence the look-ahead.
Name = Annotated[
    str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")
]
Datatype = Annotated[str, msgspec.Meta(pattern=r"^(BOOL|U?INT(8|16|32|64)|FP(16|32|64)|BYTES)$(?!\n)")]
"""A datatype of the Open Inference Protocol that has a JSON form."""
EntryPoint = Annotated[
    str,
    msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$(?!\n)"),
]
"""Module and callable, `module:callable`; the module lies in the model's directory."""
Flavour = Literal["onnx", "python", "external"]
Mebibytes = Annotated[int, msgspec.Meta(ge=64)]
Processors = Annotated[float, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tensor of the Open Inference Protocol (V2): `shape` holds -1 where any size is taken."""

    name: str
    datatype: Datatype
    shape: Annotated[tuple[Annotated[int, msgspec.Meta(ge=-1)], ...], msgspec.Meta(max_length=16)]


class Resources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one server, container or function instance of a model needs; None leaves it to the backend.

    Attributes:
        cpus: processors.
        memory: MiB.
        gpus: devices.
    """

    cpus: Processors | None = None
    memory: Mebibytes | None = None
    gpus: Count = 0


class WarmPool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many containers and function instances of a model stand ready; None leaves it to the backend.

    Attributes:
        minimum: kept ready though nobody asks.
        maximum: at most so many at once.
        idle: seconds without a request after which one above the minimum goes.
    """

    minimum: Count = 0
    maximum: Annotated[int, msgspec.Meta(ge=1)] | None = None
    idle: Seconds | None = None


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model, as who places and serves it sees it.

    Attributes:
        name: what requests call it.
        version: a word of the owner's; `version` in a request pins one.
        inputs: the tensors it takes, all of them required.
        outputs: the tensors it gives.
        backends: where it may run.
        max_payload: for a backend, the largest `data` in bytes that it takes; absent means no limit.
        timeout: seconds that one call may take.
        resources: what one of its servers needs.
        warm: how many of them stand ready.
        url: where a server that is not ours answers for it in V2; None where ours do.
    """

    name: Name
    version: Name
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    backends: tuple[Backend, ...] = BACKENDS
    max_payload: dict[Backend, Annotated[int, msgspec.Meta(ge=1)]] = {}
    timeout: Seconds = 30.0
    resources: Resources = Resources()
    warm: WarmPool = WarmPool()
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+[^\s]*$(?!\n)")] | None = None

    @property
    def batchable(self) -> bool:
        """Whether requests may be joined along the first dimension: every tensor leaves it open."""
        return all(spec.shape[:1] == (-1,) for spec in (*self.inputs, *self.outputs))


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A callable of the project that runs in a container of its own, within limits.

    Attributes:
        entry: the callable.
        timeout: seconds that it may take.
        cpus: processors; None takes all of the machine.
        memory: MiB; None sets no limit.
        gpus: devices that it is given.
        network: whether it reaches one.
        wheels: file with a hashed list of packages whose files it reads; they are unpacked, not installed.
    """

    entry: EntryPoint
    timeout: Seconds = 3600.0
    cpus: Processors | None = None
    memory: Mebibytes | None = None
    gpus: Count = 0
    network: bool = False
    wheels: str | None = None


class Validation(Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The step that measures a model, and what it must reach. More is better: negate a loss.

    Attributes:
        metric: which of the figures decides.
        minimum: below it the model is refused.
        tolerance: how much of the metric compression may cost.
    """

    metric: str
    minimum: float
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = 0.01


class ModelFile(ModelSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a `model.toml`: of a project, and of the bundle that is made of it.

    Attributes:
        flavour: `onnx` (a file), `python` (a callable) or `external` (a server that is not ours).
        artifact: the model's ONNX file; `onnx` needs it, `python` may name one that its callable reads.
        entry: for `python`, the callable `dict[str, ndarray] -> dict[str, ndarray]`.
        requirements: for `python`, a file with a hashed list of packages beside those of the server.
        train: makes the model; None where there is nothing to train.
        validate: measures it; None where nothing is promised.
    """

    flavour: Flavour
    artifact: str | None = None
    entry: EntryPoint | None = None
    requirements: str | None = None
    train: Step | None = None
    validate: Validation | None = None
