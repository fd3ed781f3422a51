"""Measure how fast this machine trains the baseline, for `init --minutes`."""

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.dataset import Dataset
from pipeline.init.data_rules import channels_of, grid_of, split_sizes
from pipeline.init.survey import Survey
from pipeline.init.time_budget import TimeBudget
from pipeline.machine.training_speed import measure_training_speed
from pipeline.sections import Params

_EPOCH_SECONDS = 0.5  # approximate time of an epoch of the measurement on a slow machine


def measured_time(minutes: float, params: Params, survey: Survey) -> TimeBudget:
    """Train the baseline of `params` on random images for a few seconds, and return the time for `fovea run`.

    Args:
        minutes: The minutes that the user demanded.
        params: Params for this data.
        survey: Properties of the data.
    """
    from pipeline.backend.runtime import start_backend

    start_backend(command="init")
    shape = (*grid_of(survey), channels_of(survey))
    architecture = Architecture.from_model(params.model, shape, len(survey.classes))
    macs = compute_geometry(architecture).macs
    sizes = split_sizes(survey)
    dataset = Dataset(
        name="random",
        input_shape=shape,
        dtype="uint8",
        classes=survey.classes,
        counts={split: {survey.classes[0]: sizes[split]} for split in ("train", "val")},
        mean=(128.0,) * shape[-1],
        std=(64.0,) * shape[-1],
        digests={},
        duplicates={},
        skipped=(),
    )
    images = min(
        sizes["train"], max(params.training.batch_size, round(_EPOCH_SECONDS / survey.time.seconds_per_image(macs)))
    )
    for _ in range(2):  # the first training run of a process is slower
        speed = measure_training_speed(architecture, params.training, dataset, images, params.seed)
    return TimeBudget.measured(minutes, macs, speed.image)
