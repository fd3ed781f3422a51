"""Determine the value range of images, and check whether they use it."""

from collections.abc import Iterator, Mapping

from pipeline.data.kind import KINDS
from pipeline.data.statistics import SplitStatistics
from pipeline.data.value_range import BYTES, ValueRange, range_of_arrays, range_of_files
from pipeline.errors import UserError
from pipeline.sources.source import SixteenBit, Source

_SLIVER = 1 / 16  # of the range: at most 16 of 256 grey levels
_SIXTEEN_BIT_SLIVER = 1 / 4  # fewer than 64 grey levels remain when 16 bits become 8
_DEPTHS = (8, 10, 12, 14)  # bit depths that devices store in 16 bits


def find_value_range(
    source: Source,
    found: Mapping[str, SplitStatistics],
    of_bytes: bool,
    from_files: bool,
    declared: tuple[float, float] | None,
) -> ValueRange | None:
    """Determine the raw values of black and white; None if unknown. By default the training images determine them.

    Series and spectrograms have no black and white.

    Args:
        source: The source.
        found: Statistics of each split.
        of_bytes: Whether the dtype of the images is uint8.
        from_files: Whether the images were read from image files.
        declared: `data.value_range`.

    Raises:
        UserError: Arrays contain values outside the declared range, or the samples have no black and white.
    """
    if source.kind in ("series", "audio"):
        if declared is not None:
            raise UserError(
                f"data.value_range: declares black and white of images and volumes, got {_shown(declared)} for "
                f"{source.name}, which contains {KINDS[source.kind].many}; set it to null"
            )
        return None
    if from_files:
        return range_of_files(declared)
    if declared is None and of_bytes:
        return BYTES
    for split, each in found.items():
        least, greatest = each.least, each.greatest
        if declared is not None and not declared[0] <= least <= greatest <= declared[1]:
            raise UserError(
                f"data.value_range: must include all values of {source.name}, which are from {least:g} to {greatest:g} "
                f"in {split}, got {_shown(declared)}; widen it, or set it to null"
            )
    train = found["train"]
    return range_of_arrays(train.least, train.greatest, train.whole, declared)


def check_contrast(source: Source, found: Mapping[str, SplitStatistics]) -> None:
    """Raise an error if all images of a split have one value.

    Raises:
        UserError: A split is constant. The message names the split, the value, and the key that may be the cause.
    """
    for split, each in found.items():
        if each.least == each.greatest:
            stored = source.sixteen_bit
            remedy = "check the files" if stored is None else f"{_stored(stored)}; {_remedy(stored)}"
            raise UserError(
                f"data.source: {source.name}: {split}: {KINDS[source.kind].many} must not be constant, got "
                f"{each.least:g} everywhere; {remedy}"
            )


def contrast_warnings(
    source: Source, found: Mapping[str, SplitStatistics], value_range: ValueRange | None, from_files: bool
) -> Iterator[str]:
    """Yield remarks for the user about the values of the images, one line each."""
    stored = source.sixteen_bit
    if stored is not None and value_range is not None:
        black, white = value_range.sixteen_bit
        if uses_small_part(stored, (black, white)):
            yield f"{_stored(stored)} of {black:g} to {white:g}, so few grey levels remain; {_remedy(stored)}"
        if stored.least < black or stored.greatest > white:
            yield f"{_stored(stored)}; values outside data.value_range {_shown((black, white))} are clipped"
    channels = source.parts["train"][0].shape[-1]
    if value_range is None and source.kind == "image" and channels in (1, 3):
        yield (
            "the raw values of black and white are unknown, so predict does not accept image files; "
            "set data.value_range: [black, white] to allow them"
        )
    if not from_files and value_range is not None and not value_range.is_bytes and channels in (1, 3):
        yield f"{value_range.black:g} is used as black and {value_range.white:g} as white"
    if value_range is None or stored is not None:
        return
    for split, each in found.items():
        least, greatest = each.least, each.greatest
        if greatest - least < (value_range.white - value_range.black) * _SLIVER:
            remedy = "" if from_files else f"; if {greatest:g} is white, set data.value_range: {_shown((0, greatest))}"
            yield (
                f"{split} uses only the values from {least:g} to {greatest:g} of the range {value_range.black:g} to "
                f"{value_range.white:g}{remedy}"
            )


def uses_small_part(found: SixteenBit, bounds: tuple[float, float]) -> bool:
    """Whether files with 16 bits per value use so little of a range that few grey levels remain."""
    return found.greatest - found.least < (bounds[1] - bounds[0]) * _SIXTEEN_BIT_SLIVER


def declarable_range(found: SixteenBit | None) -> tuple[float, float] | None:
    """The recommended `data.value_range`; None if the whole 16-bit range is right, or nothing can be declared."""
    if found is None or not uses_small_part(found, BYTES.sixteen_bit):
        return None
    return proposed_range(found)


def proposed_range(found: SixteenBit) -> tuple[float, float]:
    """Propose black and white for 16-bit files: the range of the device's bit depth, or the few values in use."""
    white = next((2**bits - 1 for bits in _DEPTHS if found.greatest < 2**bits), found.greatest)
    if uses_small_part(found, (0, white)):
        return found.least, max(found.greatest, found.least + 1)
    return 0, white


def _stored(found: SixteenBit) -> str:
    return f"files with 16 bits per value: {found.files}; they use {found.least} to {found.greatest}"


def _remedy(found: SixteenBit) -> str:
    return f"set data.value_range: {_shown(proposed_range(found))}"


def _shown(values: tuple[float, float]) -> str:
    return f"[{values[0]:g}, {values[1]:g}]"
