"""The whole stack of `script/up`, private to one benchmark."""

import os
from typing import Final

from benchmarks.rig import ROOT, Rig
from script.stack.processes.stack import start_stack
from script.support.progress import console

INPUT: Final = ROOT / "examples" / "digits" / "three.json"
"""A request to the stack's model, `digits`, with one image."""


def start_full_stack(rig: Rig) -> None:
    """Start every component, and put what a user of the stack needs into the rig's environment.

    Raises:
        StackError: a step failed.
    """
    stack = start_stack(
        ROOT, rig.run, console(), models=rig.models, thresholds=None, environ=dict(os.environ)
    )
    rig.environment |= stack.plan.public()
