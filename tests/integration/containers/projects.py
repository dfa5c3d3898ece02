"""Model projects whose training follows commands."""

from pathlib import Path

from modelkit.cli import main
from modelkit.project import Project, read_project

_TRAIN = """
import os, pathlib, signal, socket, sys, time
import numpy as np
from .training import validate


def train(output, report):
    {body}
    np.save(output / "weights.npy", np.array([[1.0], [-2.0], [0.5], [3.0]], dtype=np.float32))
"""


def project_that(body: str, directory: Path, *, limits: str = "") -> Project:
    """Write a project of the flavour `python` with this body of its training."""
    assert main(["new", "plane", "--flavour", "python", "--directory", str(directory)]) == 0
    (directory / "told.py").write_text(_TRAIN.format(body=body), encoding="utf-8")
    file = directory / "model.toml"
    text = file.read_text(encoding="utf-8")
    section = f'[train]\nentry = "told:train"\n{limits}\n'
    start, end = text.index("[train]"), text.index("[validate]")
    file.write_text(text[:start] + section + text[end:], encoding="utf-8")
    return read_project(directory)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[float, float, str]] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, done: float, total: float, text: str) -> None:
        self.steps.append((done, total, text))
