"""Number of candidates in a search space."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import product
from math import prod

from pipeline.params import Choices, ModelParams, Range, SpaceParams
from search.space.draw import BLOCK_KEYS, DECIDING_KEYS, TRAINING_KEYS, drawn_per_block, matters, written_block
from search.space.values import count, listed

_HEAD_KEYS = ("head", "head_dropout")


def size(space: SpaceParams, model: ModelParams) -> float:
    """Return the number of different combinations that trials can draw; infinity if a range is continuous.

    Conditional variables are counted exactly: a variable that a trial does not draw does not count. Candidates that
    become equal by clipping count as different ones.
    """
    given = space.given()
    depths = listed(given["blocks"]) if "blocks" in given else (len(model.blocks),)
    layers = listed(given["dense_layers"]) if "dense_layers" in given else (len(model.head.dense),)
    units = count(given["dense_units"]) if "dense_units" in given else 1
    plain = prod(count(given[key]) for key in (*_HEAD_KEYS, *TRAINING_KEYS) if key in given)
    return float(
        plain * sum(units if number else 1 for number in layers) * sum(_stacks(given, model, n) for n in depths)
    )


def _stacks(given: Mapping[str, Range | Choices], model: ModelParams, depth: int) -> float:
    """Return the number of combinations of block values for candidates with `depth` blocks."""
    if depth == 0:
        return 1
    deciding = [key for key in BLOCK_KEYS if key in given and key in DECIDING_KEYS]
    shared, own = ([key for key in deciding if given[key].per_block is per_block] for per_block in (False, True))
    total = 0.0
    for values in product(*(listed(given[key]) for key in shared)):
        # Number of combinations of per-block values, by the set of shared keys that matter for any block so far.
        stacks: Mapping[frozenset[str], float] = {frozenset(): 1}
        for number in range(depth):
            grown: defaultdict[frozenset[str], float] = defaultdict(float)
            written = written_block(model, number) | dict(zip(shared, values, strict=True))
            for own_values in product(*(listed(given[key]) for key in own)):
                block = written | dict(zip(own, own_values, strict=True))
                asked = {key for key in BLOCK_KEYS if key in given and key not in deciding and matters(key, block)}
                combinations = prod(count(given[key]) for key in asked if given[key].per_block)
                asked_once = frozenset(key for key in asked if not given[key].per_block)
                for earlier, ways in stacks.items():
                    grown[earlier | asked_once] += ways * combinations
            stacks = grown
        total += sum(ways * prod(count(given[key]) for key in keys) for keys, ways in stacks.items())
    if depth > 1 and "filter_growth" in given and not drawn_per_block("filters", given):
        total *= count(given["filter_growth"])
    return total
