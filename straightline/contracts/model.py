"""Models: tensors, limits, backends, and how a model is built."""

from typing import Annotated, Literal

import msgspec

from straightline.names import BACKENDS, Backend

# `$` also matches before a final newline in Python, and JSON Schema has no `\Z`: hence the look-ahead.
Name = Annotated[
    str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")
]
Datatype = Annotated[str, msgspec.Meta(pattern=r"^(BOOL|U?INT(8|16|32|64)|FP(16|32|64)|BYTES)$(?!\n)")]
"""A datatype of the Open Inference Protocol with a JSON form."""
EntryPoint = Annotated[
    str,
    msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$(?!\n)"),
]
"""`module:callable`; the module is in the model's directory."""
Flavour = Literal["onnx", "python", "external"]
Mebibytes = Annotated[int, msgspec.Meta(ge=64)]
Processors = Annotated[float, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tensor of the Open Inference Protocol (V2); -1 in `shape` accepts any size."""

    name: str
    datatype: Datatype
    shape: Annotated[tuple[Annotated[int, msgspec.Meta(ge=-1)], ...], msgspec.Meta(max_length=16)]


class Resources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resources of one server, container or function instance of a model; None leaves them to the backend.

    Attributes:
        cpus: number of processors.
        memory: MiB.
        gpus: number of devices.
    """

    cpus: Processors | None = None
    memory: Mebibytes | None = None
    gpus: Count = 0


class WarmPool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Number of warm containers and function instances of a model; None leaves it to the backend.

    Attributes:
        minimum: instances kept warm without requests.
        maximum: instances at most.
        idle: seconds without a request after which an instance above the minimum is stopped.
    """

    minimum: Count = 0
    maximum: Annotated[int, msgspec.Meta(ge=1)] | None = None
    idle: Seconds | None = None


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model.

    Attributes:
        name: the model's name.
        version: the version's name; `version` in a request pins one.
        inputs: the input tensors, all of them required.
        outputs: the output tensors.
        backends: where it may run.
        max_payload: maximum size of `data` in bytes by backend; absent means no limit.
        timeout: maximum duration of one call, seconds.
        resources: of one of its servers.
        warm: number of warm servers.
        url: of an external V2 server that answers for it; None if StraightLine runs its servers.
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
        """Whether requests can be merged along the first dimension, which is -1 in every tensor."""
        return all(spec.shape[:1] == (-1,) for spec in (*self.inputs, *self.outputs))


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A callable of the project that runs in a container of its own.

    Attributes:
        entry: the callable.
        timeout: maximum duration, seconds.
        cpus: number of processors; None takes all.
        memory: MiB; None sets no limit.
        gpus: number of devices.
        network: whether it has network access.
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
    """The step that evaluates a model, and the minimum it must reach. Higher is better: negate a loss.

    Attributes:
        metric: name of the deciding metric.
        minimum: a model below it is refused.
        tolerance: loss of the metric that compression may cause.
    """

    metric: str
    minimum: float
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = 0.01


class ModelFile(ModelSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a `model.toml`, of a project and of its bundle.

    Attributes:
        flavour: `onnx` (a file), `python` (a callable) or `external` (a server elsewhere).
        artifact: the ONNX file, required for `onnx`; for `python` a file that its callable reads.
        entry: for `python`, the callable `dict[str, ndarray] -> dict[str, ndarray]`.
        requirements: for `python`, a file with a hashed list of packages in addition to the server's.
        train: the training step; None if the artifact is given.
        validate: the validation step; None if there is none.
    """

    flavour: Flavour
    artifact: str | None = None
    entry: EntryPoint | None = None
    requirements: str | None = None
    train: Step | None = None
    validate: Validation | None = None
