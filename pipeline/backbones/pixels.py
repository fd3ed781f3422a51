"""The conversion of standardized images to the values that a backbone was trained with."""

from collections.abc import Sequence

from pipeline.backbones.backbone import Backbone
from pipeline.backbones.families import NETWORKS
from pipeline.data.value_range import ValueRange
from pipeline.errors import UserError


def pixel_scale(
    backbone: Backbone, mean: Sequence[float], std: Sequence[float], value_range: ValueRange | None
) -> tuple[list[float], list[float]]:
    """Return factor and summand of red, green and blue, for standardized raw values.

    Undoing the standardization gives raw values, from which black and white become 0 and 255, and then what the
    family's `preprocess_input` returns.

    Args:
        backbone: The backbone.
        mean: Mean of the raw training values, one number per channel: one for grey images, three for colour images.
        std: Standard deviation of the raw training values, one number per channel; 0 counts as 1.
        value_range: Raw values of black and white; None: unknown.

    Raises:
        UserError: `value_range` is None.
    """
    if value_range is None:
        raise UserError(
            f"model.backbone: {backbone.name} requires the values of black and white, which the values of these arrays "
            "do not show; set data.value_range"
        )
    family = NETWORKS[backbone.name][1]
    per_raw = 255.0 / (value_range.white - value_range.black)
    scales, offsets = [], []
    for colour, (scale, offset) in enumerate(zip(family.scale, family.offset, strict=True)):
        channel = colour % len(mean)
        scales.append(scale * per_raw * (std[channel] or 1.0))
        offsets.append(scale * per_raw * (mean[channel] - value_range.black) + offset)
    return scales, offsets
