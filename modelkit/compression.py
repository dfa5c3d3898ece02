"""Compresses a project's ONNX model: smaller weights, a simpler graph; kept only where that costs little."""

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
"""Operators whose weights are held as 8-bit integers; convolutions lose more than they gain on processors."""


class NotCompressed(StraightLineError):  # noqa: N818 - it reads as what happened
    """The compressed model was refused: it costs too much of the figure, or gains no size."""


def compress(
    project: Project, runtime: Runtime, listener: Listener, *, wheelhouse: Path | None = None
) -> CompressionRecord:
    """Compress the trained artifact, measure both, and take the compressed one into the bundle.

    Returns:
        What was gained, and what it cost.

    Raises:
        ConfigurationError: the project has no ONNX artifact, or it cannot be read as one.
        JobRefused, JobFailed: a measurement did not finish.
        NotCompressed: it was refused; the uncompressed artifact stays in the bundle.
    """
    name = project.spec.artifact
    if name is None:
        raise ConfigurationError(
            f"{project.title} has no ONNX file to compress: name one by artifact in model.toml"
        )
    source = trained_artifact(project)
    before = _baseline_metrics(project, source, runtime, listener, wheelhouse)
    (project.build / COMPRESSION).unlink(missing_ok=True)
    with replace_directory(project.compressed) as fresh:
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        quantise(source, fresh / name)
    found = CompressionRecord(
        accepted=True,
        reason="",
        source=file_digest(source),
        bytes_before=source.stat().st_size,
        bytes_after=(project.compressed / name).stat().st_size,
    )
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


def evaluate(found: CompressionRecord, step: Validation | None) -> CompressionRecord:
    """Decide on a compressed artifact by its size and its figure; pure."""
    reason = ""
    if found.bytes_after >= found.bytes_before:
        reason = f"its {found.bytes_before} bytes would become {found.bytes_after}"
    elif step is not None and found.before is not None and found.after is not None:
        fall = f"its {step.metric} would fall from {found.before:.6g} to {found.after:.6g}"
        if found.before - found.after > step.tolerance:
            reason = (
                f"{fall}, by more than the tolerance {step.tolerance:g}; raise tolerance in [validate] if "
                "that will do"
            )
        elif found.after < step.minimum:
            reason = f"{fall}, below the minimum {step.minimum:g}"
    return msgspec.structs.replace(found, accepted=not reason, reason=reason)


def quantise(source: Path, target: Path) -> None:
    """Write the model with its weights as 8-bit integers and its graph optimised; the same gives the same.

    Raises:
        ConfigurationError: it is no ONNX model that ONNX Runtime loads.
    """
    # Imported here: only who compresses needs them, and a server has no onnx.
    import onnxruntime  # noqa: PLC0415
    from onnx import TensorProto  # noqa: PLC0415
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="straightline-compress-") as scratch:
        simpler = Path(scratch) / "simpler.onnx"
        options = onnxruntime.SessionOptions()
        # What holds on every machine and in every provider: constants folded, what is idle removed.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(simpler)
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(
                str(source), sess_options=options, providers=["CPUExecutionProvider"]
            )
            with _quiet_logging():
                quantize_dynamic(
                    simpler,
                    target,
                    op_types_to_quantize=list(_QUANTISED_OPERATORS),
                    weight_type=QuantType.QInt8,
                    # For what shape inference cannot tell, behind operators of other domains (ai.onnx.ml).
                    extra_options={"DefaultTensorType": TensorProto.FLOAT},
                )
        # ONNX Runtime's errors have no common root but this one.
        except Exception as error:
            raise ConfigurationError(f"{source} cannot be compressed: {error}") from error


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Keep back the advice that the quantiser logs: its preparation was done."""
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
    """Return the uncompressed bundle's figures: the last validation's where it was of this bundle."""
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
