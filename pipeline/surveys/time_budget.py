"""How long `fovea run` may take, and how fast the machine trains: epochs, trials and the size of networks follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.training_cost import PASSES, SECONDS_PER_IMAGE, estimated_seconds
from pipeline.data.dataset import Dataset, Kind
from pipeline.machine.training_speed import MACS_PER_SECOND, measure_training_speed, study_speedup
from pipeline.sections import Params

_MINUTES = 15.0
_OTHER_SECONDS = 180.0  # for other work than training: imports, preparation, evaluation, registration
_MARGIN = 0.9
WINNER = 2.0  # cost of the final training run of the winner, as a multiple of the baseline's, that is always affordable


@dataclass(frozen=True)
class TimeBudget:
    """The time for `fovea run`.

    Attributes:
        minutes: Approximate time for all stages.
        macs_per_second: Multiply-accumulates per second in training, forward and backward passes together.
        demanded: Whether the user demanded this time. Then longer training runs fill it; otherwise a training run ends
            when a small network is near its best accuracy.
        study_speedup: How much faster the workers of the study are together than one.
    """

    minutes: float = _MINUTES
    macs_per_second: float = MACS_PER_SECOND
    demanded: bool = False
    study_speedup: float = 1.0

    @classmethod
    def measured(cls, minutes: float, macs: float, seconds_per_image: float, study_speedup: float) -> Self:
        """Return the time that a user demanded, on a machine whose speed was measured with one network.

        Args:
            minutes: The minutes that the user demanded.
            macs: Multiply-accumulates of the network per image.
            seconds_per_image: Measured seconds per training image and epoch.
            study_speedup: See above.
        """
        spent_on_macs = max(seconds_per_image - SECONDS_PER_IMAGE, seconds_per_image / 2)
        return cls(minutes, PASSES * macs / spent_on_macs, demanded=True, study_speedup=study_speedup)

    @property
    def training_seconds(self) -> float:
        """Seconds for all training runs."""
        seconds = 60.0 * self.minutes
        return _MARGIN * max(seconds / 2, seconds - _OTHER_SECONDS)

    @property
    def study_seconds(self) -> float:
        """Seconds of all workers in the study, which takes half of the training time."""
        return self.study_speedup * self.training_seconds / 2

    @property
    def final_seconds(self) -> float:
        """Seconds for the final training run of the baseline. That of the winner may take `WINNER` times as long."""
        return self.training_seconds / 2 / (1 + WINNER)

    def seconds_per_image(self, macs: float) -> float:
        """Approximate seconds per training image and epoch of a network with these multiply-accumulates per image."""
        return estimated_seconds(macs, self.macs_per_second)


DEFAULT_TIME = TimeBudget()


def measure_time(
    minutes: float, params: Params, kind: Kind, shape: tuple[int, ...], classes: Sequence[str], sizes: Mapping[str, int]
) -> TimeBudget:
    """Train the baseline of `params` on random inputs for a few seconds, and return the time for `fovea run`.

    Args:
        minutes: The minutes that the user demanded.
        params: Params for this data.
        kind: Kind of the samples.
        shape: Extent of each grid axis of the network's input, then channels.
        classes: Names of the classes.
        sizes: Number of inputs of each split.
    """
    from pipeline.backend.runtime import start_backend

    start_backend(command="init")
    of_blocks = params.model.model_copy(update={"backbone": None})
    architecture = Architecture.from_model(of_blocks, shape, len(classes))
    macs = compute_geometry(architecture).macs
    dataset = Dataset(
        name="random",
        kind=kind,
        input_shape=shape,
        dtype="uint8",
        classes=tuple(classes),
        counts={split: {classes[0]: sizes[split]} for split in ("train", "val")},
        mean=(128.0,) * shape[-1],
        std=(64.0,) * shape[-1],
        digests={},
        duplicates={},
        skipped=(),
    )
    for _ in range(2):  # the first training run of a process is slower
        speed = measure_training_speed(architecture, params.training, dataset, params.seed)
    return TimeBudget.measured(minutes, macs, speed.image, study_speedup(params.search))
