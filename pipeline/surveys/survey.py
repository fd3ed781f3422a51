"""What `init` knows about a data source: one value for sources of every kind."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.data.dataset import Kind
from pipeline.sources.contrast import declarable_range
from pipeline.sources.source import SixteenBit
from pipeline.surveys.mirroring import MirrorTest
from pipeline.surveys.recommendation import Recommendation
from pipeline.surveys.time_budget import DEFAULT_TIME, TimeBudget


@dataclass(frozen=True)
class Survey:
    """Properties of a data source.

    The inputs of a network are what `counts` counts: images, volumes, whole series, or windows of series and pieces of
    recordings.

    Attributes:
        source: Value of `data.source`.
        classes: Names of the classes.
        counts: Number of inputs of each class, by split. A source without splits has all inputs in `train`.
        grid: Extent of each grid axis of an input; for image files, the median height and width in pixels.
        channels: Channels of an input; for image files, 3 if some are coloured, else 1.
        inspected: Number of samples that were opened.
        kind: Kind of the samples.
        inputs: Words for one input and for several.
        from_files: Whether the samples are files, which can be converted.
        unreadable: Opened files that are not readable, relative to the source.
        settings: Choices for the section `data` that suit only this kind of source.
        cut: Whether inputs are parts of longer samples, cut regardless of what is in them.
        samples: Number of samples of each class, by split, if all inputs of a sample are in one split; None: `counts`.
        notes: What was assumed about the source, as sentences for the user.
        time: The time for `fovea run`.
        sizes: Number of different image sizes.
        coloured: Share of the opened images that are coloured.
        sixteen_bit: Statistics of image files with 16 bits per value; None if there are none.
        mirrored: Results of the test with mirror images, by axis; empty if nothing could be measured.
        declared: `data.value_range` of floating-point or 32-bit image files, which cannot be read without it; None:
            there are none.
        aspects: Aspect ratios, width by height, of which 90% of the images lie between.
    """

    source: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    grid: tuple[int, ...]
    channels: int
    inspected: int
    kind: Kind = "image"
    inputs: tuple[str, str] = ("image", "images")
    from_files: bool = False
    unreadable: tuple[str, ...] = ()
    settings: tuple[Recommendation, ...] = ()
    cut: bool = False
    samples: Mapping[str, tuple[int, ...]] | None = None
    notes: tuple[str, ...] = ()
    time: TimeBudget = DEFAULT_TIME
    sizes: int = 1
    coloured: float = 0.0
    sixteen_bit: SixteenBit | None = None
    mirrored: Mapping[str, MirrorTest] | None = None
    declared: tuple[float, float] | None = None
    aspects: tuple[float, float] = (1.0, 1.0)

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The recommended `data.value_range`."""
        return self.declared or declarable_range(self.sixteen_bit)

    @property
    def opened(self) -> int:
        """Number of files that were opened, readable or not."""
        return self.inspected + len(self.unreadable)

    @property
    def total(self) -> int:
        """Number of all inputs of the source."""
        return sum(sum(counts) for counts in self.counts.values())

    @property
    def independent(self) -> Mapping[str, tuple[int, ...]]:
        """Number of samples of each class, by split, which are distributed over the splits independently."""
        return self.samples or self.counts
