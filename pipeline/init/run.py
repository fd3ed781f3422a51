"""Inspect the data and write a params.yaml that fits them."""

import shutil
from dataclasses import replace
from pathlib import Path

from pipeline.cnn.geometry import Infeasible
from pipeline.data.kind import KINDS
from pipeline.errors import UserError
from pipeline.files import write_file
from pipeline.init.data_option import resolve
from pipeline.init.data_rules import MIN_PER_CLASS, channels_of, data_choices, extents, grid_of, split_sizes
from pipeline.init.document import decided, document
from pipeline.init.network_rules import network_choices
from pipeline.init.study_rules import evaluation_choices, study_choices
from pipeline.init.summary import print_summary
from pipeline.init.training_rules import training_choices
from pipeline.params_file import read_yaml, validate
from pipeline.sections import DataParams, Params
from pipeline.sections.data import ignored_settings
from pipeline.sections.load import load_params
from pipeline.surveys.inspect_source import inspect_source
from pipeline.surveys.recommendation import Recommendation
from pipeline.surveys.survey import Survey
from pipeline.surveys.time_budget import measure_time

RAW = Path("data/raw")


def run(given: str, params: Path, name: str | None = None, minutes: float | None = None) -> None:
    """Write `params` for the data that `given` names. A previous file that differs is kept next to it.

    Args:
        given: Value of the option `--data`.
        params: Path of params.yaml.
        name: Name of the registered model; None: the name of the data.
        minutes: Approximate time for `fovea run` on this machine, whose speed is then measured; None: about 15
            minutes by a fixed assumption about the speed, so that the same data give the same file everywhere.

    Raises:
        UserError: The data cannot be read or are too few, or `params` is not a params file.
    """
    base = load_params(params)
    option = resolve(given, RAW)
    source, called = option.source, option.name
    # What arrays contain is kept from the previous file only if it is about the same data.
    declared = {} if base.data.source == source else {"kind": "auto", "channels": "auto"}
    suitable = {"source": source} | declared | ignored_settings(source)
    data = validate(DataParams, base.data.model_dump(mode="json") | suitable, "--data")
    survey = inspect_source(data, base.seed)
    _require_enough(survey)
    try:
        choices = choose(survey, name or called)
        if minutes is not None:
            first = validate(Params, decided(read_yaml(params), choices), "init")
            shape = (*grid_of(survey), channels_of(survey))
            time = measure_time(minutes, first, survey.kind, shape, survey.classes, split_sizes(survey))
            survey = replace(survey, time=time)
            choices = choose(survey, name or called)
    except Infeasible as error:
        raise UserError(
            f"--data: {source}: {survey.inputs[1]} of {extents(survey.grid)} are too small for a network: {error}"
        ) from None
    content = decided(read_yaml(params), choices)
    validate(Params, content, "init")
    reasons = {choice.key: choice.reason for choice in choices if choice.reason}
    text = document(content, reasons, _header(given, minutes))
    kept = _keep(params, text)
    write_file(params, text)
    names = (base.register_.name, content["register"]["name"])
    print_summary(survey, option.found, params, kept, names)


def _require_enough(survey: Survey) -> None:
    """Raise an error for data that `prepare` would reject later, and for a folder of other files."""
    many = KINDS[survey.kind].many
    if len(survey.unreadable) > survey.inspected:
        raise UserError(
            f"--data: {survey.source}: {len(survey.unreadable)} of {survey.opened} inspected files are not readable "
            f"{many}; pass the folder that contains the {many}, with one subfolder per class"
        )
    missing = [split for split in ("val", "test") if split not in survey.counts]
    for split, counts in survey.independent.items():
        parts = [split, *missing] if split == "train" else [split]
        least = MIN_PER_CLASS * len(parts)
        if min(counts) < least:
            rarest = survey.classes[counts.index(min(counts))]
            where = f" in {split}" if len(parts) == 1 else f", {MIN_PER_CLASS} for each of {', '.join(parts)}"
            unread = len(survey.unreadable)
            others = f" ({unread} inspected files are not readable {many}: {survey.unreadable[0]}, …)" if unread else ""
            raise UserError(
                f"--data: {survey.source}: each class needs at least {least} {many}{where}, got {min(counts)} of "
                f"{rarest!r}{others}; add {many} or remove the class"
            )


def choose(survey: Survey, name: str) -> list[Recommendation]:
    """Return all choices, in the order in which they are applied."""
    return [
        *data_choices(survey),
        *network_choices(survey),
        *training_choices(survey),
        *study_choices(survey),
        *evaluation_choices(survey, name),
    ]


def _header(given: str, minutes: float | None) -> str:
    shown = given if given.isprintable() else ascii(given)
    option = "" if minutes is None else f" --minutes {minutes:g}"
    return (
        f"Written by `fovea init --data {shown}{option}` from the data; the comments above the keys give the reasons.\n"
        "All settings of the pipeline. Check them with `fovea params`."
    )


def _keep(params: Path, text: str) -> Path | None:
    """Copy the current file to the next free name next to it, unless it already has this text."""
    if params.read_text(encoding="utf-8") == text:
        return None
    number = 1
    while (kept := params.with_name(f"{params.stem}.{number}{params.suffix}")).exists():
        number += 1
    shutil.copyfile(params, kept)
    return kept
