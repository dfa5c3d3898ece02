"""Results: one figure of ours beside its peer's, with the ratio taken round by round."""

import statistics
from collections.abc import Sequence
from typing import Literal, Self

import msgspec


class Result(msgspec.Struct, frozen=True):
    """One measured figure.

    Attributes:
        name: benchmark and figure, e.g. `round_trip/idle_20ms`.
        unit: of `ours` and `peer`.
        ours: median over the rounds.
        peer: the peer's median over the rounds; None where there is no peer.
        peer_name: what `peer` was measured on; empty where there is no peer.
        ratio_median, ratio_min, ratio_max: of ours / peer in each round; None where there is no peer.
        rounds: number of rounds.
        target: what `ours` or the ratio should be, and whether it is; empty where nothing was set.
    """

    name: str
    unit: str
    ours: float
    peer: float | None
    peer_name: str
    ratio_median: float | None
    ratio_min: float | None
    ratio_max: float | None
    rounds: int
    target: str = ""

    @classmethod
    def alone(cls, name: str, unit: str, ours: Sequence[float], *, target: str = "") -> Self:
        """Return the result of the rounds of a figure that has no peer."""
        return cls(name, unit, statistics.median(ours), None, "", None, None, None, len(ours), target)

    @classmethod
    def beside(
        cls, name: str, unit: str, ours: Sequence[float], peer: Sequence[float], peer_name: str
    ) -> Self:
        """Return the result of the rounds of both, paired in order.

        Raises:
            ValueError: the two have different numbers of rounds, or none.
        """
        ratios = [a / b for a, b in zip(ours, peer, strict=True)]
        if not ratios:
            raise ValueError(f"{name} has no rounds")
        return cls(
            name,
            unit,
            statistics.median(ours),
            statistics.median(peer),
            peer_name,
            statistics.median(ratios),
            min(ratios),
            max(ratios),
            len(ratios),
        )

    def aim(
        self, of: Literal["ours", "ratio"], *, at_most: float | None = None, at_least: float | None = None
    ) -> Self:
        """Return the result with the bound that `ours` or the median ratio should keep."""
        value = self.ours if of == "ours" else self.ratio_median
        assert value is not None
        words = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}"
        kept = value <= at_most if at_most is not None else at_least is not None and value >= at_least
        return msgspec.structs.replace(self, target=f"{of} {words}: {'yes' if kept else 'NO'}")
