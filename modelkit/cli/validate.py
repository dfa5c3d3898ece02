"""`python -m modelkit validate`: measure the model, and refuse it below its minimum."""

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
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "validate",
        run,
        summary="measure a project's model in the validation image, and refuse it below its minimum",
        more="The image is STRAIGHTLINE_VALIDATE_IMAGE; the figures are kept in metrics.json.",
    )
    add_project(parser)
    add_runtime(parser)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Validate.

    Raises:
        StraightLineError: any of what `modelkit.validation.validate` raises.
    """
    settings = load(KitSettings, environ)
    project = chosen_project(arguments)
    if project.spec.url is not None and project.spec.validate is None:
        return _check_external(project)
    runtime = chosen_runtime(arguments, environ, settings, training=False)
    bundle = assemble(project)
    with Console(project.build / "validate.log") as console:
        found = validate(project, bundle, runtime, console, wheelhouse=settings.wheelhouse)
    return CommandResult(
        text=f"{project.title} is valid: {_describe(found)}; sha256:{found.bundle}", record=found
    )


def _check_external(project: Project) -> CommandResult:
    """Hold an external server that promises no figure against its `model.toml`."""
    from modelkit.job_runtime.remote import check_server  # noqa: PLC0415 - numpy for this alone

    check_server(project.spec)
    text = f"{project.title} is served at {project.spec.url} as its model.toml says"
    return CommandResult(
        text=text, record={"model": project.spec.name, "url": project.spec.url, "ready": True}
    )


def _describe(found: Metrics) -> str:
    """Return the figures for people."""
    others = [f"{name} {value:.6g}" for name, value in found.metrics.items() if name != found.metric]
    return ", ".join([f"{found.metric} {found.value:.6g} (minimum {found.minimum:g})", *others])
