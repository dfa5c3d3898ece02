"""What must hold after every fault: a pure judgement over facts that others collected."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

SHOWN: Final = 5
"""How many ids of one violation are named."""


@dataclass(frozen=True)
class Ending:
    """What the ledger says of one id: how many final outcomes, and of the first its state and reason."""

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
    """A dead letter: the request it belongs to, where known, and the reason it carries."""

    request_id: str | None
    reason: str


@dataclass(frozen=True)
class Facts:
    """What was found when the fault was over.

    Attributes:
        sent: every id that was ever put on its way, confirmed or not.
        confirmed: ids whose publish the broker confirmed.
        endings: what the ledger has, by id.
        executions: number of executions of each id; None if they were not counted.
        dead: what lay in the dead-letter queue.
        depths: messages in each queue, unacknowledged ones included.
        restarts: how often each process had to be started anew.
        leaks: where a secret was found.
        told: how often producers received each final state, by id.
    """

    sent: AbstractSet[str]
    confirmed: AbstractSet[str]
    endings: Mapping[str, Ending]
    executions: Mapping[str, int] | None = None
    dead: Sequence[DeadLetter] = ()
    depths: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    leaks: Sequence[str] = ()
    told: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def lost(self) -> AbstractSet[str]:
        """Confirmed ids without an outcome."""
        return self.confirmed - self.endings.keys()

    @property
    def doubled(self) -> AbstractSet[str]:
        """Ids with more than one final outcome."""
        return {one for one, ending in self.endings.items() if ending.rows > 1}

    @property
    def contradicted(self) -> AbstractSet[str]:
        """Ids of which a producer heard another end than the ledger has."""
        return {
            one
            for one, heard in self.told.items()
            if one in self.endings and heard.keys() - {self.endings[one].state}
        }

    @property
    def repeated(self) -> int:
        """Answers beyond the first of each id: what was unconfirmed when a line was lost is sent again."""
        return sum(sum(heard.values()) - 1 for heard in self.told.values())

    @property
    def surplus(self) -> int:
        """Executions beyond the first of each id."""
        return sum(count - 1 for count in (self.executions or {}).values() if count > 1)


@dataclass(frozen=True)
class Allowance:
    """What a fault may cost.

    Attributes:
        surplus: executions beyond the first of each id, in all.
        each: executions of any one id.
        restarts: of each process; one that is not named may not have ended at all.
        unknown_dead: dead letters that are of no request: what the test itself sent.
        unsent: outcomes of ids that were not sent, where messages without an id get an id of the scheduler.
    """

    surplus: int = 0
    each: int = 4
    restarts: Mapping[str, int] = field(default_factory=dict)
    unknown_dead: int = 0
    unsent: int = 0


def violations(facts: Facts, allowed: Allowance) -> list[str]:
    """Return, as sentences, whatever does not hold."""
    return [
        *_ids("were confirmed and have no outcome", facts.lost),
        *_ids("have more than one final outcome", facts.doubled),
        *_ids(
            "were told to have ended as they have not",
            {
                f"{one} (told {dict(facts.told[one])}, {_told(facts.endings[one])} stands)"
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
    shown = ", ".join(sorted(ids)[:SHOWN])
    return [f"{len(ids)} ids {what}: {shown}"] if ids else []


def _unsent(facts: Facts, allowed: Allowance) -> list[str]:
    strangers = facts.endings.keys() - facts.sent
    wrong = {one for one in strangers if facts.endings[one].state != "rejected"}
    if len(strangers) > allowed.unsent:
        wrong = strangers
    return _ids(
        "have an outcome and were never sent", {f"{one} {_told(facts.endings[one])}" for one in wrong}
    )


def _told(ending: Ending) -> str:
    return f"({ending.state}, {ending.error_class}: {ending.error})"


def _dead(facts: Facts, allowed: Allowance) -> list[str]:
    found = []
    unknown = [letter for letter in facts.dead if letter.request_id is None]
    if len(unknown) > allowed.unknown_dead:
        reasons = "; ".join(letter.reason for letter in unknown[:SHOWN])
        found.append(f"{len(unknown)} dead letters are of no known request: {reasons}")
    for letter in facts.dead:
        if letter.request_id is None:
            continue
        ending = facts.endings.get(letter.request_id)
        if ending is None:
            found.append(f"a dead letter of {letter.request_id} has no outcome: {letter.reason}")
        elif ending.state != "succeeded" and not ending.error_class:
            found.append(f"the outcome of the dead letter of {letter.request_id} has no reason")
    return found


def _executions(facts: Facts, allowed: Allowance) -> list[str]:
    if facts.executions is None:
        return []
    often = {one for one, count in facts.executions.items() if count > allowed.each}
    told = {one for one, ending in facts.endings.items() if ending.state == "succeeded"}
    found = _ids(f"were executed more than {allowed.each} times", often)
    found += _ids("succeeded and were never executed", (told & facts.confirmed) - facts.executions.keys())
    if facts.surplus > allowed.surplus:
        found.append(f"{facts.surplus} executions were done twice, {allowed.surplus} may be")
    return found


def _restarts(facts: Facts, allowed: Allowance) -> list[str]:
    return [
        f"{name} ended {count} times, {allowed.restarts.get(name, 0)} may be"
        for name, count in facts.restarts.items()
        if count > allowed.restarts.get(name, 0)
    ]


def recovery(endings: Mapping[str, Ending], over: float) -> float:
    """Return how long after the fault's end it was still felt, in seconds.

    It is felt until the last of the requests that were submitted before its end is answered, and until every
    backend has answered the first of those that were submitted later.

    Args:
        endings: what the ledger has.
        over: when the fault ended, seconds since the epoch.
    """
    last = over
    first: dict[str | None, float] = {}
    for end in endings.values():
        if end.submitted_at is None:
            continue
        if end.submitted_at <= over:
            last = max(last, end.finished_at)
        else:
            first[end.backend] = min(end.finished_at, first.get(end.backend, end.finished_at))
    return max(last, *first.values(), over) - over
