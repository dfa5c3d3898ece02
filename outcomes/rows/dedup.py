"""Decides which outcome of a request is recorded, and which are redelivered or duplicate."""

from collections.abc import Iterable, Mapping

import msgspec

from outcomes.rows.row_mapping import Entry, Execution
from straightline.contracts.faults import NOT_EXECUTED


class Classified(msgspec.Struct, frozen=True):
    """Entries by what they mean to the ledger.

    Attributes:
        new: the first outcome of its request.
        redelivered: the recorded outcome once more, or an outcome without an execution.
        duplicates: outcomes of further executions.
    """

    new: list[Entry]
    redelivered: list[Entry]
    duplicates: list[Entry]


def classify(entries: Iterable[Entry], known: Mapping[str, Execution]) -> Classified:
    """Separate the first outcome of each request from redelivered and duplicate ones.

    Args:
        entries: in order of arrival.
        known: the executions that the ledger has, by request id.
    """
    recorded, found = dict(known), Classified([], [], [])
    for entry in entries:
        execution = recorded.setdefault(entry.request_id, entry.execution)
        if execution is entry.execution:
            found.new.append(entry)
        elif execution == entry.execution or entry.source.error_class in NOT_EXECUTED:
            found.redelivered.append(entry)
        else:
            found.duplicates.append(entry)
    return found
