"""Turn measurements of a dataset into findings, each with a stable id, a count and a sentence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.checks.duplicates import across_splits, conflicting
from pipeline.checks.files import FileSummary, size_text
from pipeline.checks.measurements import Measurements
from pipeline.errors import UserError, plural
from pipeline.sections.data import FindingId

MAX_ITEMS = 20  # lines of a finding
IMBALANCE = 3.0  # ratio of the largest to the smallest class from which it is a finding
_NAMES = 3  # of a group that a line shows


@dataclass(frozen=True)
class Finding:
    """Something that a user should know about the data.

    Attributes:
        id: Its id, which `data.strict` may contain.
        count: How often it was found.
        summary: One sentence, without a full stop.
        items: Up to 20 lines that name samples, files or groups.
    """

    id: FindingId
    count: int
    summary: str
    items: tuple[str, ...] = ()


def check_strict(found: Sequence[Finding], strict: Sequence[FindingId]) -> None:
    """Raise an error for the findings that `data.strict` names.

    Raises:
        UserError: There are such findings. The message lists up to 20 items of each.
    """
    refused = [finding for finding in found if finding.id in strict]
    if not refused:
        return
    lines = [
        line
        for finding in refused
        for line in (
            f"  {finding.id}: {finding.summary}",
            *(f"    {item}" for item in finding.items),
            *([f"    … and {finding.count - len(finding.items):,} more"] if _has_more(finding) else []),
        )
    ]
    ids = ", ".join(finding.id for finding in refused)
    raise UserError(
        f"data.strict: the data must be free of {ids}, got\n"
        + "\n".join(lines)
        + "\n  correct the data, or remove the ids from data.strict to keep it as it is"
    )


def _has_more(finding: Finding) -> bool:
    return len(finding.items) == MAX_ITEMS < finding.count


def findings(measured: Measurements) -> tuple[Finding, ...]:
    """Return the findings, those about files first."""
    return (
        *_of_files(measured.facts.files),
        *_of_content(measured),
        *_of_leaks(measured),
        *_of_distribution(measured),
    )


def _of_files(files: FileSummary | None) -> Iterator[Finding]:
    if files is None:
        return
    used, total = files.status.get("used", 0), sum(files.status.values())
    if files.skipped:
        many = len(files.skipped)
        yield Finding(
            "unreadable",
            many,
            f"{many:,} of {total:,} {plural(total, 'file')} {_is(many)} not readable and {_was(many)} skipped",
            tuple(f"{record.file}: {record.reason}" for record in files.skipped[:MAX_ITEMS]),
        )
    if len(files.modes) > 1:
        shown = ", ".join(f"{mode} ({count:,})" for mode, count in list(files.modes.items())[:MAX_ITEMS])
        yield Finding("mixed_modes", len(files.modes), f"the files have {len(files.modes)} modes: {shown}")
    if files.resized:
        sizes = len(files.sizes)
        first = ", ".join(f"{size_text(size)} ({count:,})" for size, count in list(files.sizes.items())[:3])
        more = f" and {sizes - 3:,} other sizes" if sizes > 3 else ""
        yield Finding(
            "resized",
            files.resized,
            f"{files.resized:,} of {used:,} {plural(used, 'file')} {_was(files.resized)} resized, from {first}{more}",
        )


def _of_content(measured: Measurements) -> Iterator[Finding]:
    constant = measured.constant
    if len(constant):
        many = len(constant)
        yield Finding(
            "constant_samples",
            many,
            f"{many:,} {plural(many, 'sample')} {'has' if many == 1 else 'have'} a single value everywhere",
            tuple(_line(measured, index) for index in constant[:MAX_ITEMS].tolist()),
        )
    surplus = sum(len(group) - 1 for group in measured.identical)
    if surplus:
        across = len(across_splits(measured.identical, measured.splits))
        yield Finding(
            "exact_duplicates",
            surplus,
            f"{surplus:,} {plural(surplus, 'sample')} {_is(surplus)} identical to an earlier one"
            f"{_across(across, 'group', len(measured.identical))}",
            tuple(_group_line(measured, group) for group in measured.identical[:MAX_ITEMS]),
        )
    pairs = list(measured.near)
    if pairs:
        across = len(across_splits(pairs, measured.splits))
        where = _across(across, "pair", len(pairs))
        unread = f"; {measured.near_unread:,} less similar pairs were not compared" if measured.near_unread else ""
        yield Finding(
            "near_duplicates",
            len(pairs),
            f"{len(pairs):,} {plural(len(pairs), 'pair')} of near duplicates{where}{unread}",
            tuple(_group_line(measured, pair) for pair in pairs[:MAX_ITEMS]),
        )
    conflicts = [*conflicting(measured.identical, measured.labels), *conflicting(pairs, measured.labels)]
    if conflicts:
        exact = len(conflicting(measured.identical, measured.labels))
        near = len(conflicts) - exact
        parts = [
            *([f"{exact:,} {plural(exact, 'group')} of identical samples"] if exact else []),
            *([f"{near:,} {plural(near, 'pair')} of near duplicates"] if near else []),
        ]
        verb = "has" if len(conflicts) == 1 else "have"
        yield Finding(
            "label_conflicts",
            len(conflicts),
            f"{' and '.join(parts)} {verb} several classes",
            tuple(_group_line(measured, group) for group in conflicts[:MAX_ITEMS]),
        )


def _of_leaks(measured: Measurements) -> Iterator[Finding]:
    if measured.leaks:
        many = len(measured.leaks)
        yield Finding(
            "group_leakage",
            many,
            f"{many:,} {plural(many, 'group')} {_is(many)} in several splits, so the accuracy on them is too high",
            tuple(f"{group}: {', '.join(where)}" for group, where in list(measured.leaks.items())[:MAX_ITEMS]),
        )


def _of_distribution(measured: Measurements) -> Iterator[Finding]:
    train = measured.counts()["train"]
    ratio = float(train.max() / max(1, train.min()))
    if ratio >= IMBALANCE:
        order = np.argsort(train, kind="stable")
        least, most = int(order[0]), int(order[-1])
        names = measured.facts.classes
        yield Finding(
            "class_imbalance",
            1,
            f"the largest class, {names[most]} ({train[most]:,}), has {ratio:.1f} times as many training samples as "
            f"the smallest, {names[least]} ({train[least]:,}); to make rare classes count, set training.class_weight: "
            "balanced and search.objectives: [val_macro_f1]",
        )
    if measured.outliers:
        many = len(measured.outliers)
        yield Finding(
            "outliers",
            many,
            f"{many:,} {plural(many, 'sample')} {_is(many)} unusual in mean, contrast or roughness",
            tuple(
                f"{_line(measured, each.index)}: {each.statistic} {each.value:g}, {abs(each.z):.1f} robust standard "
                f"deviations {'above' if each.z > 0 else 'below'} the median"
                for each in measured.outliers[:MAX_ITEMS]
            ),
        )
    drifts = [test for test in measured.drift if test.found]
    if drifts:
        shown = "; ".join(f"{test.split} in {test.what} (distance {test.distance:.2f})" for test in drifts)
        yield Finding("drift", len(drifts), f"splits differ from the training split: {shown}")
    neighbours = measured.collected.neighbours
    if neighbours is not None and not neighbours.is_grid:
        values = ", ".join(f"{value:.2f}" for value in neighbours.neighbours if np.isfinite(value))
        yield Finding(
            "not_a_grid",
            1,
            f"neighbouring values are not significantly more correlated ({values}) than values at random positions "
            f"({neighbours.random:.2f}), so their order seems to be arbitrary, as that of the columns of a table; "
            "convolutions rely on it, and a method for tables, such as gradient-boosted trees, fits better",
        )


def _line(measured: Measurements, index: int) -> str:
    return f"{measured.name(index)} ({measured.place(index)[0]}, {measured.class_name(index)})"


def _group_line(measured: Measurements, group: NDArray[np.int64]) -> str:
    shown = ", ".join(_line(measured, index) for index in group[:_NAMES].tolist())
    return shown + (f" and {len(group) - _NAMES:,} more" if len(group) > _NAMES else "")


def _across(across: int, noun: str, total: int) -> str:
    return f" ({across:,} of {total:,} {plural(total, noun)} across splits)" if across else ""


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
