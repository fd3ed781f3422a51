"""The kinds of samples: their axes, and what readers call them."""

from dataclasses import dataclass

from pipeline.data.dataset import Kind


@dataclass(frozen=True)
class KindWords:
    """Words for the samples of a kind.

    Attributes:
        axes: Names of the axes of a sample, channels last.
        one: A sample.
        many: Several samples.
        positions: The positions of a sample's grid.
    """

    axes: tuple[str, ...]
    one: str
    many: str
    positions: str

    @property
    def rank(self) -> int:
        """Number of grid axes."""
        return len(self.axes) - 1

    @property
    def shape(self) -> str:
        """Shape of an array of samples, for messages."""
        return f"(n, {', '.join(self.axes)})"


KINDS: dict[Kind, KindWords] = {
    "image": KindWords(("height", "width", "channels"), "image", "images", "pixels"),
    "series": KindWords(("time", "channels"), "series", "series", "time steps"),
    "audio": KindWords(("time", "bands", "channels"), "recording", "recordings", "cells of the spectrogram"),
    "volume": KindWords(("depth", "height", "width", "channels"), "volume", "volumes", "voxels"),
}
