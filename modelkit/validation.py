"""Validation of a project's bundle: its entry point measures a metric that must reach a minimum."""

import contextlib
import math
import tempfile
import time
from pathlib import Path

import msgspec

from model_server.models.bundle import PACKAGES_DIRECTORY, content_digest
from modelkit.jobs.job import Job, JobResult, Listener, Runtime, require_finished
from modelkit.package.server import install_requirements
from modelkit.project import METRICS, Project, project_digest
from modelkit.training import job_inputs, write_json
from modelkit.wheels import wheelhouse_for
from straightline.contracts.model import Validation
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ConfigurationError, ContractError, StraightLineError


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a validation, as in `metrics.json`.

    Attributes:
        model, version: the validated model.
        metrics: all metrics by name.
        metric: name of the metric that decides.
        value: its value.
        minimum: the least value that is accepted.
        accepted: whether `value` reaches `minimum`.
        project: SHA-256 over the project's files at that time.
        bundle: SHA-256 over the validated bundle.
        runtime: `docker` or `local`.
        seconds: duration.
        finished_at: seconds since the epoch.
    """

    model: str
    version: str
    metrics: dict[str, float]
    metric: str
    value: float
    minimum: float
    accepted: bool
    project: str
    bundle: str
    runtime: str
    seconds: float
    finished_at: float


class BelowMinimum(StraightLineError):  # noqa: N818 - it reads as what was found
    """The metric is below the minimum in `model.toml`."""


class NotValidated(StraightLineError):  # noqa: N818
    """The bundle has no accepted validation, or has changed since."""


def validate(
    project: Project, bundle: Path, runtime: Runtime, listener: Listener, *, wheelhouse: Path | None = None
) -> Metrics:
    """Validate a bundle, and write `metrics.json` whether it is accepted or not.

    Raises:
        ConfigurationError: the project has no validation, or it does not return its metric.
        JobRefused: the job could not be started.
        JobFailed: the job did not finish.
        BelowMinimum: the metric is below the minimum.
    """
    found = measure(project, bundle, runtime, listener, wheelhouse=wheelhouse)
    write_json(project.build / METRICS, found)
    if not found.accepted:
        raise BelowMinimum(
            f"{project.title} is rejected: its {found.metric} is {found.value:.6g}, below the minimum "
            f"{found.minimum:g} of model.toml. Improve the training, or lower the minimum if acceptable"
        )
    return found


def measure(
    project: Project, bundle: Path, runtime: Runtime, listener: Listener, *, wheelhouse: Path | None = None
) -> Metrics:
    """Measure a bundle without writing `metrics.json`.

    Raises:
        ConfigurationError: the project has no validation, or it does not return its metric.
        JobRefused: the job could not be started.
        JobFailed: the job did not finish.
    """
    step = project.spec.validate
    if step is None:
        raise ConfigurationError(
            f"{project.title} has no validation. Add [validate] with entry, metric and minimum to model.toml"
        )
    if project.spec.requirements is not None:
        wheels = wheelhouse_for([bundle / project.spec.requirements], project.build / "wheels", wheelhouse)
        install_requirements(bundle, bundle / PACKAGES_DIRECTORY, wheels)
    result = _run(project, step, bundle, runtime, listener, wheelhouse)
    metrics = msgspec.convert(result.value, dict[str, float])
    value = _deciding_value(project, step, metrics)
    return Metrics(
        model=project.spec.name,
        version=project.spec.version,
        metrics=metrics,
        metric=step.metric,
        value=value,
        minimum=step.minimum,
        accepted=value >= step.minimum,
        project=project_digest(project),
        bundle=content_digest(bundle),
        runtime=runtime.name,
        seconds=round(result.seconds, 3),
        finished_at=time.time(),
    )


def _run(  # noqa: PLR0917 - the parts of a job
    project: Project,
    step: Validation,
    bundle: Path,
    runtime: Runtime,
    listener: Listener,
    wheelhouse: Path | None,
) -> JobResult:
    with tempfile.TemporaryDirectory(prefix=".validate-", dir=project.build) as scratch:
        job = Job(
            kind="validate",
            title=f"validating {project.title}",
            step=step,
            project=project.directory,
            output=Path(scratch),
            inputs=job_inputs(project, step, wheelhouse),
            bundle=bundle,
        )
        result = runtime.run(job, listener)
    require_finished(job, result)
    return result


def read_metrics(project: Project) -> Metrics | None:
    """Read the result of the last validation; None if there is none."""
    with contextlib.suppress(OSError, ContractError):
        return decode((project.build / METRICS).read_bytes(), Metrics)
    return None


def require_validated(project: Project, bundle: Path) -> Metrics | None:
    """Return the metrics of this bundle; None for a project without validation.

    Raises:
        NotValidated: the bundle was not validated, or has changed since.
        BelowMinimum: the metric is below the minimum.
    """
    step = project.spec.validate
    if step is None:
        return None
    found = read_metrics(project)
    if found is None:
        raise NotValidated(f"{project.title} is not validated. Run `validate` first")
    digest = content_digest(bundle)
    if found.bundle != digest:
        raise NotValidated(
            f"{project.title} has changed since its validation, from sha256:{found.bundle[:12]} to "
            f"sha256:{digest[:12]}. Run `validate` again"
        )
    if found.value < step.minimum:
        raise BelowMinimum(
            f"{project.title} is rejected: its {found.metric} is {found.value:.6g}, below the minimum "
            f"{step.minimum:g}. Improve the training"
        )
    return found


def _deciding_value(project: Project, step: Validation, metrics: dict[str, float]) -> float:
    value = metrics.get(step.metric)
    if value is None or not math.isfinite(value):
        raise ConfigurationError(
            f"{step.entry} of {project.title} returned {metrics} without a number for {step.metric!r}, the "
            "metric of model.toml. Return it, or name another metric"
        )
    return value
