"""Check a backbone before anything is trained."""

from pathlib import Path

from pipeline.backbones.backbone import Backbone
from pipeline.backbones.pixels import pixel_scale
from pipeline.backbones.weights_file import read_weights
from pipeline.data.dataset import Dataset
from pipeline.errors import UserError

WATCHED = Path("data/weights")


def check_backbone(backbone: Backbone, dataset: Dataset) -> None:
    """Check that the samples are images, that the input of a backbone can be computed, and its weights can be read.

    Args:
        backbone: The backbone.
        dataset: Metadata of the samples.

    Raises:
        UserError: The samples are not images, the values of black and white are unknown, or the file of weights is
            missing, has changed, or does not fit the backbone.
    """
    if dataset.kind != "image":
        raise UserError(
            f"model.backbone: {backbone.name} requires images, got data of the kind {dataset.kind}; set it to null"
        )
    if dataset.input_shape[-1] in (1, 3):
        pixel_scale(backbone, dataset.mean, dataset.std, dataset.value_range)
    if backbone.weights is not None:
        read_weights(backbone)


def unwatched(backbone: Backbone) -> str:
    """Return a remark if DVC does not detect changes in the file of weights, or an empty text."""
    if backbone.weights is None or Path(backbone.weights).resolve().is_relative_to(WATCHED.resolve()):
        return ""
    return (
        f"DVC does not detect changes in {backbone.weights}; after a change, run dvc repro --force search, or keep the "
        f"file in {WATCHED.as_posix()}/"
    )
