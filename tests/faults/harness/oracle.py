"""Invariants that must hold after every fault, checked over collected facts."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

MAX_SHOWN_IDS: Final = 5
"""Ids listed for one violation."""


@dataclass(frozen=True)
class RecordedOutcome:
    """Outcome of one id in the ledger: the number of rows, and the fields of the first."""

    rows: int
    state: str
    error_class: str | None = None
    error: str | None = None
    backend: str | None = None
    attempts: int = 1
    submitted_at: float | None = None
    finished_at: float = 0.0


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter: its request, if known, and its reason."""

    request_id: str | None
    reason: str


@dataclass(frozen=True)
class Facts:
    """Facts collected after the end of a fault.

    Attributes:
        sent: all ids published, confirmed or not.
        confirmed: ids whose publish the broker confirmed.
        outcomes: outcomes in the ledger by id.
        executions: number of executions by id; None if not counted.
        dead: dead letters.
        depths: messages in each queue, unacknowledged ones included.
        restarts: exits of each process that the supervisor did not cause.
        leaks: places where a secret was found.
        received: by id, how often producers received each final state.
    """

    sent: AbstractSet[str]
    confirmed: AbstractSet[str]
    outcomes: Mapping[str, RecordedOutcome]
    executions: Mapping[str, int] | None = None
    dead: Sequence[DeadLetter] = ()
    depths: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    leaks: Sequence[str] = ()
    received: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def lost(self) -> AbstractSet[str]:
        """Confirmed ids without an outcome."""
        return self.confirmed - self.outcomes.keys()

    @property
    def duplicated(self) -> AbstractSet[str]:
        """Ids with more than one final outcome."""
        return {one for one, ending in self.outcomes.items() if ending.rows > 1}

    @property
    def contradicted(self) -> AbstractSet[str]:
        """Ids for which a producer received another state than the ledger has."""
        return {
            one
            for one, states in self.received.items()
            if one in self.outcomes and states.keys() - {self.outcomes[one].state}
        }

    @property
    def repeated(self) -> int:
        """Results received beyond the first of each id; unconfirmed ones are sent again on reconnection."""
        return sum(sum(states.values()) - 1 for states in self.received.values())

    @property
    def surplus(self) -> int:
        """Executions beyond the first of each id."""
        return sum(count - 1 for count in (self.executions or {}).values() if count > 1)


@dataclass(frozen=True)
class Allowance:
    """Cost that a fault may have.

    Attributes:
        surplus: executions beyond the first of each id, in total.
        each: executions of any one id.
        restarts: exits by process; 0 for processes not listed.
        unknown_dead: dead letters that belong to no request, published by the test itself.
        unsent: outcomes of ids that were not sent; the scheduler gives messages without an id one.
    """

    surplus: int = 0
    each: int = 4
    restarts: Mapping[str, int] = field(default_factory=dict)
    unknown_dead: int = 0
    unsent: int = 0


def violations(facts: Facts, allowed: Allowance) -> list[str]:
    """Return the violated invariants as sentences."""
    return [
        *_ids("were confirmed and have no outcome", facts.lost),
        *_ids("have more than one final outcome", facts.duplicated),
        *_ids(
            "were reported to a producer with another state",
            {
                f"{one} (received {dict(facts.received[one])}, ledger {_describe(facts.outcomes[one])})"
                for one in facts.contradicted
            },
        ),
        *_unsent(facts, allowed),
        *_dead(facts, allowed),
        *_executions(facts, allowed),
        *_restarts(facts, allowed),
        *(f"a secret is in {where}" for where in facts.leaks),
        *(f"{count} messages are left in {queue}" for queue, count in facts.depths.items() if count),
    ]


def _ids(what: str, ids: AbstractSet[str]) -> list[str]:
    shown = ", ".join(sorted(ids)[:MAX_SHOWN_IDS])
    return [f"{len(ids)} ids {what}: {shown}"] if ids else []


def _unsent(facts: Facts, allowed: Allowance) -> list[str]:
    unknown = facts.outcomes.keys() - facts.sent
    wrong = {one for one in unknown if facts.outcomes[one].state != "rejected"}
    if len(unknown) > allowed.unsent:
        wrong = unknown
    return _ids(
        "have an outcome and were never sent", {f"{one} {_describe(facts.outcomes[one])}" for one in wrong}
    )


def _describe(ending: RecordedOutcome) -> str:
    return f"({ending.state}, {ending.error_class}: {ending.error})"


def _dead(facts: Facts, allowed: Allowance) -> list[str]:
    found = []
    unknown = [letter for letter in facts.dead if letter.request_id is None]
    if len(unknown) > allowed.unknown_dead:
        reasons = "; ".join(letter.reason for letter in unknown[:MAX_SHOWN_IDS])
        found.append(f"{len(unknown)} dead letters belong to no known request: {reasons}")
    for letter in facts.dead:
        if letter.request_id is None:
            continue
        ending = facts.outcomes.get(letter.request_id)
        if ending is None:
            found.append(f"a dead letter of {letter.request_id} has no outcome: {letter.reason}")
        elif ending.state != "succeeded" and not ending.error_class:
            found.append(f"the outcome of the dead letter of {letter.request_id} has no reason")
    return found


def _executions(facts: Facts, allowed: Allowance) -> list[str]:
    if facts.executions is None:
        return []
    often = {one for one, count in facts.executions.items() if count > allowed.each}
    succeeded = {one for one, ending in facts.outcomes.items() if ending.state == "succeeded"}
    found = _ids(f"were executed more than {allowed.each} times", often)
    found += _ids(
        "succeeded and were never executed", (succeeded & facts.confirmed) - facts.executions.keys()
    )
    if facts.surplus > allowed.surplus:
        found.append(f"{facts.surplus} executions were repeated, {allowed.surplus} allowed")
    return found


def _restarts(facts: Facts, allowed: Allowance) -> list[str]:
    return [
        f"{name} exited {count} times, {allowed.restarts.get(name, 0)} allowed"
        for name, count in facts.restarts.items()
        if count > allowed.restarts.get(name, 0)
    ]


def recovery(outcomes: Mapping[str, RecordedOutcome], over: float) -> float:
    """Return the recovery in seconds after the end of the fault.

    Recovery ends when all requests submitted before the end of the fault have an outcome, and every backend
    has answered its first request submitted after.

    Args:
        outcomes: outcomes in the ledger by id.
        over: end of the fault, in seconds since the epoch.
    """
    last = over
    first: dict[str | None, float] = {}
    for end in outcomes.values():
        if end.submitted_at is None:
            continue
        if end.submitted_at <= over:
            last = max(last, end.finished_at)
        else:
            first[end.backend] = min(end.finished_at, first.get(end.backend, end.finished_at))
    return max(last, *first.values(), over) - over
