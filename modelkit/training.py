"""Training of a project's model through its entry point."""

import time
from pathlib import Path

import msgspec

from model_server.models.bundle import content_digest
from modelkit.jobs.job import Job, JobResult, Listener, Runtime, require_finished
from modelkit.project import COMPRESSION, METRICS, Project, assemble, project_digest
from modelkit.wheels import unpack_wheels
from straightline.contracts.model import Step
from straightline.errors import ConfigurationError
from straightline.support.atomic_directory import replace_directory


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finished training, as in `training.json`.

    Attributes:
        model, version: the trained model.
        project: SHA-256 over the project's files at that time.
        bundle: SHA-256 over the resulting bundle.
        runtime: `docker` or `local`.
        seconds: duration.
        finished_at: seconds since the epoch.
    """

    model: str
    version: str
    project: str
    bundle: str
    runtime: str
    seconds: float
    finished_at: float


def train(
    project: Project, runtime: Runtime, listener: Listener, *, wheelhouse: Path | None = None
) -> TrainingRecord:
    """Train the model and assemble its bundle. If this fails, the previous result is kept.

    Raises:
        ConfigurationError: the project has no training, or the training did not write the artifact.
        JobRefused: the job could not be started.
        JobFailed: the job did not finish.
    """
    step = project.spec.train
    if step is None:
        raise ConfigurationError(
            f"{project.title} has nothing to train: its model.toml has no [train]. Continue with `validate`"
        )
    with replace_directory(project.training_output) as fresh:
        job = Job(
            kind="train",
            title=f"training {project.title}",
            step=step,
            project=project.directory,
            output=fresh,
            inputs=job_inputs(project, step, wheelhouse),
        )
        result = runtime.run(job, listener)
        require_finished(job, result)
        _check_artifact_written(project, fresh)
    for stale in (COMPRESSION, METRICS):
        (project.build / stale).unlink(missing_ok=True)
    return _record(project, runtime, result)


def job_inputs(project: Project, step: Step, wheelhouse: Path | None) -> Path | None:
    """Return the directory with the unpacked `wheels` of a step; None if it names none.

    Raises:
        ConfigurationError: the wheels cannot be downloaded or unpacked.
    """
    if step.wheels is None:
        return None
    return unpack_wheels(project.directory / step.wheels, project.build / "inputs", wheelhouse)


def _check_artifact_written(project: Project, made: Path) -> None:
    artifact = project.spec.artifact
    if artifact is not None and not (made / artifact).is_file():
        step = project.spec.train
        written = sorted(path.name for path in made.iterdir())
        raise ConfigurationError(
            f"the training of {project.title} did not write the artifact {artifact!r} of its model.toml: it "
            f"wrote {written or 'nothing'}. Let {step.entry if step else 'it'} write it into `output`"
        )


def _record(project: Project, runtime: Runtime, result: JobResult) -> TrainingRecord:
    record = TrainingRecord(
        model=project.spec.name,
        version=project.spec.version,
        project=project_digest(project),
        bundle=content_digest(assemble(project)),
        runtime=runtime.name,
        seconds=round(result.seconds, 3),
        finished_at=time.time(),
    )
    write_json(project.build / "training.json", record)
    return record


def write_json(file: Path, record: msgspec.Struct) -> None:
    """Write a record as indented JSON, atomically."""
    draft = file.with_suffix(".draft")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    draft.replace(file)
