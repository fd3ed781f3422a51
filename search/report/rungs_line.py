"""One-line description of the rungs for the terminal."""

import math
from collections.abc import Sequence
from itertools import accumulate

from search.study.rungs import Rung, shares


def rungs_in_words(rungs: Sequence[Rung], images: int, batch_size: int) -> str:
    """Describe the rungs in epochs and optimizer steps.

    Args:
        rungs: The rungs of the study.
        images: Number of images in the training split.
        batch_size: Batch size of the training.
    """
    steps_after = [0, *accumulate(math.ceil(images * share / batch_size) for share in shares(rungs))]
    epochs = ", ".join(f"{rung.epoch}" for rung in rungs)
    steps = ", ".join(f"{steps_after[rung.epoch]:,}" for rung in rungs)
    if len(rungs) > 1:
        return f"rungs after epochs {epochs} ({steps} optimizer steps)"
    return (
        f"one rung, after epoch {epochs} ({steps} optimizer steps): no trial is pruned; raise search.epochs, "
        "or lower search.min_epochs or search.min_steps, for more rungs"
    )
