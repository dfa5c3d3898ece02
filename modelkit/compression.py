"""Compression of a project's ONNX model: quantised weights and an optimised graph."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from model_server.models.bundle import content_digest
from modelkit.jobs.job import Listener, Runtime
from modelkit.project import (
    COMPRESSION,
    METRICS,
    CompressionRecord,
    Project,
    assemble,
    file_digest,
    project_digest,
    trained_artifact,
)
from modelkit.training import write_json
from modelkit.validation import Metrics, measure, read_metrics
from straightline.contracts.model import Validation
from straightline.errors import ConfigurationError, StraightLineError
from straightline.support.atomic_directory import replace_directory

_QUANTISED_OPERATORS: Final = ("MatMul", "Gemm", "Gather", "Attention", "EmbedLayerNormalization", "LSTM")
"""Convolutions are left out: on CPUs they lose more than they gain."""


class NotCompressed(StraightLineError):  # noqa: N818 - it reads as what happened
    """The compressed model was rejected: its metric falls too far, or it is not smaller."""


def compress(
    project: Project, runtime: Runtime, listener: Listener, *, wheelhouse: Path | None = None
) -> CompressionRecord:
    """Compress the trained artifact, validate both, and put the compressed one into the bundle.

    Returns:
        Size and metric before and after.

    Raises:
        ConfigurationError: the project has no ONNX artifact, or the artifact cannot be read.
        JobRefused, JobFailed: a validation did not finish.
        NotCompressed: the compressed artifact was rejected; the bundle keeps the uncompressed one.
    """
    name = project.spec.artifact
    if name is None:
        raise ConfigurationError(
            f"{project.title} cannot be compressed: its model.toml names no artifact. Set artifact to an "
            "ONNX file"
        )
    source = trained_artifact(project)
    before = _baseline_metrics(project, source, runtime, listener, wheelhouse)
    (project.build / COMPRESSION).unlink(missing_ok=True)
    found = _write_compressed(project, source, name)
    after = None
    if before is not None:
        bundle = assemble(project, artifact=project.compressed / name)
        after = measure(project, bundle, runtime, listener, wheelhouse=wheelhouse)
        found = msgspec.structs.replace(found, metric=before.metric, before=before.value, after=after.value)
    found = evaluate(found, project.spec.validate)
    write_json(project.build / COMPRESSION, found)
    if before is not None and after is not None:
        write_json(project.build / METRICS, after if found.accepted else before)
    assemble(project)
    if not found.accepted:
        raise NotCompressed(f"{project.title} stays uncompressed: {found.reason}")
    return found


def _write_compressed(project: Project, source: Path, name: str) -> CompressionRecord:
    with replace_directory(project.compressed) as fresh:
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        quantise(source, fresh / name)
    return CompressionRecord(
        accepted=True,
        reason="",
        source=file_digest(source),
        bytes_before=source.stat().st_size,
        bytes_after=(project.compressed / name).stat().st_size,
    )


def evaluate(found: CompressionRecord, step: Validation | None) -> CompressionRecord:
    """Accept or reject a compressed artifact by its size and metric."""
    reason = ""
    if found.bytes_after >= found.bytes_before:
        reason = f"its size would change from {found.bytes_before} to {found.bytes_after} bytes"
    elif step is not None and found.before is not None and found.after is not None:
        fall = f"its {step.metric} would fall from {found.before:.6g} to {found.after:.6g}"
        if found.before - found.after > step.tolerance:
            reason = (
                f"{fall}, by more than the tolerance {step.tolerance:g}. Raise tolerance in [validate] if "
                "that is acceptable"
            )
        elif found.after < step.minimum:
            reason = f"{fall}, below the minimum {step.minimum:g}"
    return msgspec.structs.replace(found, accepted=not reason, reason=reason)


def quantise(source: Path, target: Path) -> None:
    """Write the model with 8-bit integer weights and an optimised graph. The output is reproducible.

    Source: dynamic quantisation of ONNX Runtime (`quantize_dynamic`).

    Raises:
        ConfigurationError: ONNX Runtime cannot load the model.
    """
    # Imported here: a model server has no onnx.
    import onnxruntime  # noqa: PLC0415
    from onnx import TensorProto  # noqa: PLC0415
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="straightline-compress-") as scratch:
        optimised = Path(scratch) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        # Basic: portable between machines and execution providers.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(optimised)
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(
                str(source), sess_options=options, providers=["CPUExecutionProvider"]
            )
            with _quiet_logging():
                quantize_dynamic(
                    optimised,
                    target,
                    op_types_to_quantize=list(_QUANTISED_OPERATORS),
                    weight_type=QuantType.QInt8,
                    # For tensors whose type is unknown behind operators of other domains (ai.onnx.ml).
                    extra_options={"DefaultTensorType": TensorProto.FLOAT},
                )
        # ONNX Runtime's errors have no other common base class.
        except Exception as error:
            raise ConfigurationError(f"{source} cannot be compressed: {error}") from error


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Suppress the quantiser's advice to preprocess the model: that was done."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


def _baseline_metrics(
    project: Project, source: Path, runtime: Runtime, listener: Listener, wheelhouse: Path | None
) -> Metrics | None:
    """Return the metrics of the uncompressed bundle, from its last validation if there was one."""
    if project.spec.validate is None:
        return None
    bundle = assemble(project, artifact=source)
    known = read_metrics(project)
    if (
        known is not None
        and known.bundle == content_digest(bundle)
        and known.project == project_digest(project)
    ):
        return known
    return measure(project, bundle, runtime, listener, wheelhouse=wheelhouse)
