"""What `init` prints about its choices."""

from pathlib import Path

from pipeline.init.data_rules import (
    FEW,
    channels_of,
    grid_of,
    half_width,
    independent_of,
    split_sizes,
    unreadable_in_words,
)
from pipeline.init.network_rules import baseline
from pipeline.init.study_rules import planned_seconds
from pipeline.surveys.survey import Survey
from pipeline.terminal.console import say
from pipeline.terminal.progress import duration


def print_summary(survey: Survey, found: str, params: Path, kept: Path | None, names: tuple[str, str]) -> None:
    """Print a short summary and the next command.

    Args:
        survey: Properties of the data.
        found: How the kind of source was recognized; empty if it was given.
        params: The file that was written.
        kept: Copy of the previous file; None: nothing changed.
        names: The previous and the new name of the registered model.
    """
    for sentence in (found, *survey.notes):
        if sentence:
            say(f"init: {sentence}")
    sizes, (one, many) = split_sizes(survey), survey.inputs
    shares = ", ".join(f"{split} {count:,}" for split, count in sizes.items())
    say(f"init: {survey.total:,} {many} of {len(survey.classes)} classes; {shares}")
    shape = "×".join(map(str, (*grid_of(survey), channels_of(survey))))
    say(f"init: the baseline has input {shape} and {baseline(survey).geometry.params:,} parameters")
    for split in ("val", "test"):
        if (independent := independent_of(survey, split)) < FEW:
            of_files = "" if survey.samples is None else f" from about {independent} files"
            say(
                f"init: {split} has only {sizes[split]:,} {many}{of_files}: one {one} changes the accuracy by "
                f"{100 / sizes[split]:.1f} percentage points, and results are uncertain by "
                f"±{100 * half_width(independent):.0f} points; add {many if survey.samples is None else 'files'}"
            )
    if survey.unreadable:
        say(f"init: {unreadable_in_words(survey)}; they are skipped (data.on_unreadable: skip)")
    if survey.time.demanded:
        planned, given = planned_seconds(survey), survey.time.training_seconds
        limits = ", more than the time allows, since at least 8 trials and 8 epochs remain" if planned > given else ""
        say(f"init: the planned training runs take about {duration(planned)}{limits}")
    if kept is not None:
        say(f"init: kept the previous {params} as {kept}")
    before, now = names
    if before != now:
        say(f"init: the registered model is now named {now}, previously {before}")
    say(f"init: wrote {params}, with a reason for each choice; next: fovea run")
