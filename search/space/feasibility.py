"""Whether a candidate fits its input and the budget, before it is built."""

from dataclasses import dataclass

from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import Geometry, Infeasible, describe
from pipeline.errors import UserError
from pipeline.params import BudgetParams


@dataclass(frozen=True)
class Feasibility:
    """What a candidate costs and breaks.

    Attributes:
        cost: params, trainable_params, macs, activation_bytes and receptive_field; empty if the network cannot be.
        violations: by how much each broken rule is broken, above 0; empty if the candidate fits.
        sentence: the broken rules for a reader.
    """

    cost: dict[str, float]
    violations: dict[str, float]
    sentence: str


def check_feasibility(candidate: Candidate, budget: BudgetParams) -> Feasibility:
    """The verdict on a candidate, by arithmetic only."""
    try:
        cost = _cost(describe(candidate.architecture))
    except Infeasible as error:
        return Feasibility({}, {"geometry": 1.0}, str(error))
    violations, sentences = {}, []
    for key, what in (("params", "weights"), ("macs", "multiply-accumulates per image")):
        most = getattr(budget, f"max_{key}")
        if most is not None and cost[key] > most:
            violations[f"max_{key}"] = cost[key] / most - 1.0
            sentences.append(f"{cost[key]:,} {what} are over search.budget.max_{key} of {most:,}")
    megabytes, most_megabytes = cost["activation_bytes"] / 2**20, budget.max_activation_mb
    if most_megabytes is not None and megabytes > most_megabytes:
        violations["max_activation_mb"] = megabytes / most_megabytes - 1.0
        sentences.append(
            f"{megabytes:.3g} MiB of layer outputs per image are over search.budget.max_activation_mb of "
            f"{most_megabytes:g}"
        )
    return Feasibility(cost, violations, "; ".join(sentences))


def too_slow(cost: dict[str, float], budget: BudgetParams) -> Feasibility:
    """The verdict on a candidate whose measured latency is over `max_latency_ms`."""
    most = budget.max_latency_ms or 0.0
    sentence = f"{cost['latency_ms']:.3g} ms for one image are over search.budget.max_latency_ms of {most:g}"
    return Feasibility(cost, {"max_latency_ms": cost["latency_ms"] / most - 1.0}, sentence)


def over_budget(place: str, verdict: Feasibility) -> UserError:
    """The error about a network that the user wrote, at that place of params.yaml."""
    return UserError(
        f"params.yaml: {place}: the network must be within the budget, but {verdict.sentence}; "
        "make it smaller, or raise search.budget"
    )


def nothing_fits(what: str, example: str) -> str:
    """The message about a space in which nothing fits."""
    return (
        f"search.space must hold candidates that fit, but none of {what} did; the last one: {example}; "
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
