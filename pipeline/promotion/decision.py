"""Whether a network becomes champion, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.evaluation.comparison import Comparison
from pipeline.promotion.gate import RuleResult

if TYPE_CHECKING:
    from pipeline.registry.versions import Alias


@dataclass(frozen=True)
class ChampionComparison:
    """The champion beside the network, on the same test images.

    Attributes:
        version: number of the champion's version.
        accuracy: of the champion.
        comparison: of the network with it.
    """

    version: int
    accuracy: float
    comparison: Comparison

    @property
    def sentence(self) -> str:
        """Both accuracies, their difference and its doubt."""
        comparison = self.comparison
        return (
            f"accuracy {self.accuracy + comparison.difference:.6g} against {self.accuracy:.6g} of the champion, "
            f"version {self.version}, on the same test data (difference {comparison.difference:+.4f}, "
            f"from {comparison.low:+.4f} to {comparison.high:+.4f}; p = {comparison.p_value:.3g})"
        )


@dataclass(frozen=True)
class RegistryState:
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
        verdicts: of each rule, of the gate and beside the champion.
        champion_comparison: the champion that it was compared with; None: there was none to compare with.
    """

    alias: "Alias"
    reason: str
    verdicts: tuple[RuleResult, ...]
    champion_comparison: ChampionComparison | None


def decide(
    standing: RegistryState,
    verdicts: Sequence[RuleResult],
    champion_comparison: ChampionComparison | None,
    beside: Sequence[RuleResult] = (),
) -> Decision:
    """The champion is the network that obeys the gate and shows beside the present champion what `replace` asks for.

    A champion that breaks the gate loses its alias if it is this very network; another one stays, since a gate judges
    the network that is registered.

    Args:
        standing: of the network in the registry.
        verdicts: of the gate on the network.
        champion_comparison: the champion of the same lineage, if that is another network.
        beside: of the rules against that champion.
    """

    def decision(alias: "Alias", reason: str) -> Decision:
        return Decision(alias, reason, (*verdicts, *beside), champion_comparison)

    broken = ", ".join(verdict.sentence for verdict in verdicts if not verdict.holds)
    if standing.champion is not None and standing.champion == standing.own:
        if broken:
            return decision("challenger", f"champion no more, since the gate does not hold: {broken}")
        return decision("champion", "the champion already, and it obeys the gate")
    if broken:
        return decision("challenger", f"the gate does not hold: {broken}")
    if champion_comparison is not None:
        failed = ", ".join(verdict.sentence for verdict in beside if not verdict.holds)
        return decision(
            "challenger" if failed else "champion", f"{champion_comparison.sentence}{failed and f'; it needs {failed}'}"
        )
    if standing.champion is not None and not standing.lineage:
        reason = f"a new lineage: version {standing.champion}, the champion before it, has other classes or another"
        return decision("champion", f"{reason} input shape")
    return decision("champion", "there was no champion" if standing.versions else "the first champion")
