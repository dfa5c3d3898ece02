"""`python -m modelkit validate`: measure a model against its minimum."""

import argparse
from collections.abc import Mapping
from typing import Any

from modelkit.cli.console import Console
from modelkit.cli.options import add_command, add_project, add_runtime, chosen_project, chosen_runtime
from modelkit.cli.result import CommandResult
from modelkit.project import Project, assemble
from modelkit.settings import KitSettings
from modelkit.validation import Metrics, validate
from straightline.settings import load


def register(commands: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "validate",
        run,
        summary="measure a project's model, and reject it below its minimum",
        description="Run the entry point of [validate] in model.toml on the bundle, and write the metrics to "
        "metrics.json. The model is rejected if the metric is below the minimum in model.toml. For an "
        "external model without [validate], compare the server's metadata with model.toml.",
        example="python -m modelkit validate plane --runtime local",
    )
    add_project(parser)
    add_runtime(parser, "STRAIGHTLINE_VALIDATE_IMAGE")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Validate the project's bundle.

    Raises:
        StraightLineError: as `modelkit.validation.validate`.
    """
    settings = load(KitSettings, environ)
    project = chosen_project(arguments)
    if project.spec.url is not None and project.spec.validate is None:
        return _check_external(project)
    runtime = chosen_runtime(arguments, environ, settings, training=False)
    bundle = assemble(project)
    with Console(project.build / "validate.log") as console:
        metrics = validate(project, bundle, runtime, console, wheelhouse=settings.wheelhouse)
    text = f"{project.title} is valid: {_describe(metrics)}\n  digest  sha256:{metrics.bundle}"
    return CommandResult(text=text, record=metrics)


def _check_external(project: Project) -> CommandResult:
    """Compare the metadata of an external server with `model.toml`."""
    from modelkit.job_runtime.remote import check_server  # noqa: PLC0415 - loads numpy

    check_server(project.spec)
    return CommandResult(
        text=f"{project.title} is valid: the server at {project.spec.url} matches model.toml",
        record={"model": project.spec.name, "url": project.spec.url, "ready": True},
    )


def _describe(found: Metrics) -> str:
    others = [f"{name} {value:.6g}" for name, value in found.metrics.items() if name != found.metric]
    return ", ".join([f"{found.metric} {found.value:.6g} (minimum {found.minimum:g})", *others])
