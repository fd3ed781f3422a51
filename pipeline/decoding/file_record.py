"""What became of a file of a source."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What became of a file of a source.

    Attributes:
        file: Path of the file relative to the source, printable.
        class_name: Name of its class.
        status: used; skipped: not readable; limited: left out by `data.limit`.
        size: Original extents of its grid, such as height and width; empty if unknown.
        mode: How it stores values, such as Pillow's mode L, RGB or P; empty if unknown.
        format: File format; empty if unknown.
        converted: What was done to it, such as `resized to 32×32`.
        reason: Why it was skipped; empty if it was not.
        weight: Weight of its samples in the training loss, as a manifest declares it; None: it declares none.
    """

    file: str
    class_name: str
    status: Literal["used", "skipped", "limited"] = "used"
    size: tuple[int, ...] = ()
    mode: str = ""
    format: str = ""
    converted: tuple[str, ...] = ()
    reason: str = ""
    weight: float | None = None
