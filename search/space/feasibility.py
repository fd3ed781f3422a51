"""Check whether a candidate fits its input and the budget, before it is built."""

from dataclasses import dataclass

from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import Geometry, Infeasible, compute_geometry
from pipeline.data.dataset import Kind
from pipeline.data.kind import KINDS
from pipeline.errors import UserError
from pipeline.params import BudgetParams


@dataclass(frozen=True)
class Feasibility:
    """Costs and rule violations of a candidate.

    Attributes:
        cost: params, trainable_params, macs, activation_bytes and receptive_field. Empty if the network is impossible.
        violations: Amount of each violation by rule, above 0. Empty if the candidate fits.
        sentence: Description of the violations. Empty if the candidate fits.
    """

    cost: dict[str, float]
    violations: dict[str, float]
    sentence: str


def check_feasibility(candidate: Candidate, budget: BudgetParams, kind: Kind = "image") -> Feasibility:
    """Compute the costs and the violations of a candidate, by arithmetic only. `kind` is what a sample is."""
    try:
        cost = _cost(compute_geometry(candidate.architecture))
    except Infeasible as error:
        return Feasibility({}, {"geometry": 1.0}, str(error))
    violations, sentences = {}, []
    for key, what in (("params", "parameters"), ("macs", f"multiply-accumulates per {KINDS[kind].one}")):
        most = getattr(budget, f"max_{key}")
        if most is not None and cost[key] > most:
            violations[f"max_{key}"] = cost[key] / most - 1.0
            sentences.append(f"{cost[key]:,} {what} exceed search.budget.max_{key} of {most:,}")
    megabytes, most_megabytes = cost["activation_bytes"] / 2**20, budget.max_activation_mb
    if most_megabytes is not None and megabytes > most_megabytes:
        violations["max_activation_mb"] = megabytes / most_megabytes - 1.0
        sentences.append(
            f"{megabytes:.3g} MiB of layer outputs per {KINDS[kind].one} exceed search.budget.max_activation_mb of "
            f"{most_megabytes:g}"
        )
    return Feasibility(cost, violations, "; ".join(sentences))


def too_slow(cost: dict[str, float], budget: BudgetParams, kind: Kind = "image") -> Feasibility:
    """Return the violation by a candidate whose measured latency exceeds `max_latency_ms`."""
    most = budget.max_latency_ms or 0.0
    sentence = f"{cost['latency_ms']:.3g} ms for one {KINDS[kind].one} exceed search.budget.max_latency_ms of {most:g}"
    return Feasibility(cost, {"max_latency_ms": cost["latency_ms"] / most - 1.0}, sentence)


def over_budget(place: str, verdict: Feasibility) -> UserError:
    """Return the error for a network that the user specified at `place` of params.yaml and that exceeds the budget."""
    return UserError(
        f"params.yaml: {place}: the network must not exceed the budget, but {verdict.sentence}; "
        "make it smaller, or raise search.budget"
    )


def nothing_fits(what: str, example: str) -> str:
    """Return the error message for a search space in which no candidate fits."""
    return (
        f"search.space: must contain candidates that fit, but none of {what} fits, for example: {example}; "
        "make the networks of search.space smaller, or raise search.budget"
    )


def _cost(geometry: Geometry) -> dict[str, float]:
    return {
        "params": geometry.params,
        "trainable_params": geometry.trainable_params,
        "macs": geometry.macs,
        "activation_bytes": geometry.activation_bytes,
        "receptive_field": max(geometry.receptive_field),
    }
