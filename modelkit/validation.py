"""Measures a project's bundle with its own entry point, and holds the figure against its minimum."""

import contextlib
import math
import tempfile
import time
from pathlib import Path

import msgspec

from model_server.models.bundle import PACKAGES_DIRECTORY, content_digest
from modelkit.jobs.job import Job, Listener, Runtime, require_finished
from modelkit.package.server import install_requirements
from modelkit.project import METRICS, Project, project_digest
from modelkit.training import job_inputs, write_json
from modelkit.wheels import wheelhouse_for
from straightline.contracts.model import Validation
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ConfigurationError, ContractError, StraightLineError


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What a validation found; `metrics.json`.

    Attributes:
        model, version: what was measured.
        metrics: all figures.
        metric: the one that decides.
        value: that figure.
        minimum: what it must reach.
        accepted: whether it does.
        project: sha256 over the project's files at that time.
        bundle: sha256 over the bundle that was measured.
        runtime: where it ran.
        seconds: how long it took.
        finished_at: when, seconds since the epoch.
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
    """The model's figure is below the minimum that its `model.toml` sets."""


class NotValidated(StraightLineError):  # noqa: N818
    """A bundle has no accepted validation of its own: none was run, or it changed since."""


def validate(
    project: Project, bundle: Path, runtime: Runtime, listener: Listener, *, wheelhouse: Path | None = None
) -> Metrics:
    """Measure a bundle and keep the figures as `metrics.json`, also those that do not suffice.

    Raises:
        ConfigurationError: the project has no validation, or that gives not the figure it names.
        JobRefused: the job could not be started.
        JobFailed: it did not finish.
        BelowMinimum: the figure that decides is too low.
    """
    found = measure(project, bundle, runtime, listener, wheelhouse=wheelhouse)
    write_json(project.build / METRICS, found)
    if not found.accepted:
        raise BelowMinimum(
            f"{project.title} is refused: its {found.metric} is {found.value:.6g}, below the minimum "
            f"{found.minimum:g} that model.toml sets; train it better, or lower the minimum if that will do"
        )
    return found


def measure(
    project: Project, bundle: Path, runtime: Runtime, listener: Listener, *, wheelhouse: Path | None = None
) -> Metrics:
    """Measure a bundle and return the figures; nothing is kept.

    Raises:
        ConfigurationError: the project has no validation, or that gives not the figure it names.
        JobRefused: the job could not be started.
        JobFailed: it did not finish.
    """
    step = project.spec.validate
    if step is None:
        raise ConfigurationError(
            f"{project.title} promises no figure: add [validate] with entry, metric and minimum to model.toml"
        )
    if project.spec.requirements is not None:
        wheels = wheelhouse_for([bundle / project.spec.requirements], project.build / "wheels", wheelhouse)
        install_requirements(bundle, bundle / PACKAGES_DIRECTORY, wheels)
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
    figures = msgspec.convert(result.value, dict[str, float])
    value = _deciding_value(project, step, figures)
    return Metrics(
        model=project.spec.name,
        version=project.spec.version,
        metrics=figures,
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


def read_metrics(project: Project) -> Metrics | None:
    """Read what the last validation found; None where there is none."""
    with contextlib.suppress(OSError, ContractError):
        return decode((project.build / METRICS).read_bytes(), Metrics)
    return None


def require_validated(project: Project, bundle: Path) -> Metrics | None:
    """Return the figures of this very bundle; None for a project that promises none.

    Raises:
        NotValidated: there are none, or of another bundle, or they were refused.
    """
    step = project.spec.validate
    if step is None:
        return None
    found = read_metrics(project)
    if found is None:
        raise NotValidated(f"{project.title} is not validated: run `validate` first")
    digest = content_digest(bundle)
    if found.bundle != digest:
        raise NotValidated(
            f"{project.title} was validated as sha256:{found.bundle[:12]} and is sha256:{digest[:12]} now: "
            "run `validate` again"
        )
    if found.value < step.minimum:
        raise BelowMinimum(
            f"{project.title} is refused: its {found.metric} is {found.value:.6g}, below the minimum "
            f"{step.minimum:g}; train it better"
        )
    return found


def _deciding_value(project: Project, step: Validation, figures: dict[str, float]) -> float:
    value = figures.get(step.metric)
    if value is None or not math.isfinite(value):
        raise ConfigurationError(
            f"{step.entry} of {project.title} gave {figures}: model.toml wants a number for {step.metric!r}; "
            "return it, or name another metric"
        )
    return value
