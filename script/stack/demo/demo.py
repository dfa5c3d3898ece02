"""`script/demo`: start a private stack, run real requests through it, report from the ledger, stop it."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from outcomes.db.database import connected
from outcomes.queries.query_results import Summary
from outcomes.queries.summary import summary
from script.stack.demo import report
from script.stack.demo.drive import Dataset, Tally, drive
from script.stack.demo.workload import Phase, thresholds, workload
from script.stack.processes.stack import Stack, start_stack
from script.stack.processes.up_down import FAILED
from script.support.progress import step
from script.support.run import Run
from straightline.client import Client

_RECORD_TIMEOUT_S: Final = 30.0
"""Time that the recorder may need for the last outcomes after all results have arrived."""
_POLL_INTERVAL_S: Final = 0.1


@dataclass(frozen=True)
class Trial:
    """Options: number of requests, seed of the workload, and the file for the figures as JSON, if any."""

    requests: int
    seed: int
    file: Path | None


def run(root: Path, state: Path, screen: Console, trial: Trial) -> int:
    """Run the demo; return 0 if every request has exactly one outcome, 1 otherwise.

    Args:
        root: the checkout.
        state: directory of runs.
        screen: shows steps and report.
        trial: the options.
    """
    own = Run.create(state, stays=False)
    limits = thresholds(trial.requests)
    wrong = ["the demo did not finish"]
    loader = ThreadPoolExecutor(1)  # scikit-learn takes a second to load, while the services start
    dataset = loader.submit(_dataset)
    try:
        stack = start_stack(
            root, own, screen, models=own.directory / "models", thresholds=limits, environ=dict(os.environ)
        )
        found = _measure(stack, screen, trial, dataset.result())
        wrong = report.failures(found, trial.requests)
    finally:
        _stop(own, screen, state / FAILED if wrong else None)
    if trial.file is not None:
        trial.file.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    screen.print()
    report.show(screen, found, thresholds=limits, driver=stack.driver, wrong=wrong)
    return 1 if wrong else 0


def _stop(own: Run, screen: Console, keep_logs: Path | None) -> None:
    with step(screen, "Stopping the stack"):
        killed = own.stop(keep_logs=keep_logs)
    for name in killed:
        screen.print(f"{name} did not stop in time and was killed.")
    if keep_logs is not None:
        screen.print(f"Logs: {keep_logs}", soft_wrap=True)


def _dataset() -> Dataset:
    """Load the digits that the model was not trained on."""
    from examples.digits.data import held_out  # noqa: PLC0415 - slow to load, and needed late

    images, labels = held_out()
    return Dataset(images.astype(int).tolist(), labels.tolist())


def _measure(stack: Stack, screen: Console, trial: Trial, dataset: Dataset) -> report.Figures:
    tally = Tally()
    began = time.monotonic()
    with Client(stack.plan.broker.of("producer"), store=stack.plan.store.as_uri()) as client:
        for phase in workload(trial.requests, len(dataset.labels), trial.seed):
            _drive(client, screen, phase, dataset, tally)
    if tally.refused:
        screen.print(f"{tally.refused} requests were not accepted. Last error: {tally.refusal}", markup=False)
    with step(screen, "Waiting for the last outcome in the ledger"):
        counted = _summary(stack.plan.database.of("reader"), tally)
    return report.figures(
        counted,
        accepted=len(tally.accepted),
        seconds=time.monotonic() - began,
        accuracy=tally.accuracy,
    )


def _drive(client: Client, screen: Console, phase: Phase, dataset: Dataset, tally: Tally) -> None:
    title = f"Publishing {phase.name}, {phase.size:,} requests: {phase.purpose}"
    if not screen.is_terminal:
        with step(screen, title):
            drive(client, phase, dataset, tally, advance=lambda _: None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen) as progress:
        task = progress.add_task(f"Publishing {phase.name:<10}", total=phase.size)
        drive(client, phase, dataset, tally, advance=lambda more: progress.advance(task, more))


def _summary(url: str, tally: Tally) -> Summary:
    """Poll the ledger until every accepted request has an outcome, or the time limit is over."""
    deadline = time.monotonic() + _RECORD_TIMEOUT_S
    while True:
        with connected(url) as connection:
            counted = summary(connection, ids=tally.accepted)
        if not counted.lost or time.monotonic() > deadline:
            return counted
        time.sleep(_POLL_INTERVAL_S)
