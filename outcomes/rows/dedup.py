"""Which outcome of a request stands; pure."""

from collections.abc import Iterable, Mapping

import msgspec

from outcomes.rows.row_mapping import Entry, Execution
from straightline.contracts.faults import NOT_EXECUTED


class Classified(msgspec.Struct, frozen=True):
    """Entries by what they are to the ledger.

    Attributes:
        new: the first outcome of its request.
        redelivered: the outcome that stands, delivered once more, or what reports no execution.
        duplicates: the outcome of another execution than the one that stands.
    """

    new: list[Entry]
    redelivered: list[Entry]
    duplicates: list[Entry]


def classify(entries: Iterable[Entry], known: Mapping[str, Execution]) -> Classified:
    """Tell the first outcome of each request from repetitions and further executions.

    Args:
        entries: in the order in which they came.
        known: the executions that stand in the ledger, by request.
    """
    standing, found = dict(known), Classified([], [], [])
    for entry in entries:
        execution = standing.setdefault(entry.request_id, entry.execution)
        if execution is entry.execution:
            found.new.append(entry)
        elif execution == entry.execution or entry.source.error_class in NOT_EXECUTED:
            found.redelivered.append(entry)
        else:
            found.duplicates.append(entry)
    return found
