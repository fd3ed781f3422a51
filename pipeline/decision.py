"""Whether a network becomes champion, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.gate import Verdict
from pipeline.judge.comparison import Comparison

if TYPE_CHECKING:
    from pipeline.tracking.registry import Alias


@dataclass(frozen=True)
class Rival:
    """The champion beside the network, on the same test images.

    Attributes:
        version: number of the champion's version.
        accuracy: of the champion.
        comparison: of the network with it.
    """

    version: int
    accuracy: float
    comparison: Comparison


@dataclass(frozen=True)
class Standing:
    """What the registry knows of a network before it decides.

    Attributes:
        versions: how many there are of whatever network.
        champion: number of the version that serves; None: there is none.
        own: number of the version that the network is already; None: it is new.
        lineage: whether the champion has the network's classes and input shape.
    """

    versions: int
    champion: int | None
    own: int | None
    lineage: bool


@dataclass(frozen=True)
class Decision:
    """Which alias a network gets, and why.

    Attributes:
        alias: what it gets.
        reason: in a sentence.
        verdicts: of each rule of the gate.
        rival: the champion that it was compared with; None: there was none to compare with.
    """

    alias: "Alias"
    reason: str
    verdicts: tuple[Verdict, ...]
    rival: Rival | None


def decide(standing: Standing, verdicts: Sequence[Verdict], rival: Rival | None) -> Decision:
    """The champion is the network that obeys the gate and gets more of the test images right.

    A champion that breaks the gate loses its alias if it is this very network; another one stays, since a gate judges
    the network that is registered.

    Args:
        standing: of the network in the registry.
        verdicts: of the gate on the network.
        rival: the champion of the same lineage, if that is another network.
    """

    def decision(alias: "Alias", reason: str) -> Decision:
        return Decision(alias, reason, tuple(verdicts), rival)

    broken = ", ".join(verdict.sentence for verdict in verdicts if not verdict.holds)
    if standing.champion is not None and standing.champion == standing.own:
        if broken:
            return decision("challenger", f"champion no more, since the gate does not hold: {broken}")
        return decision("champion", "the champion already, and it obeys the gate")
    if broken:
        return decision("challenger", f"the gate does not hold: {broken}")
    if rival is not None:
        difference = rival.comparison.difference
        reason = (
            f"accuracy {rival.accuracy + difference:.6g} against {rival.accuracy:.6g} of the champion, version "
            f"{rival.version}, on the same test data (p = {rival.comparison.p_value:.3g})"
        )
        return decision("champion" if difference > 0 else "challenger", reason)
    if standing.champion is not None and not standing.lineage:
        reason = f"a new lineage: version {standing.champion}, the champion before it, has other classes or another"
        return decision("champion", f"{reason} input shape")
    return decision("champion", "there was no champion" if standing.versions else "the first champion")
