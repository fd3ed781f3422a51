"""How long `fovea run` may take, and how fast the machine trains: epochs, trials and the size of networks follow."""

from dataclasses import dataclass
from typing import Self

MINUTES = 15.0
_MACS_PER_SECOND = 40e9  # roughly two cores with AVX2
_SECONDS_PER_IMAGE = 3e-5  # regardless of the network
# A training step has a forward pass and a backward pass, which costs twice as much.
_PASSES = 3
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
    """

    minutes: float = MINUTES
    macs_per_second: float = _MACS_PER_SECOND
    demanded: bool = False

    @classmethod
    def measured(cls, minutes: float, macs: float, seconds_per_image: float) -> Self:
        """Return the time that a user demanded, on a machine whose speed was measured with one network.

        Args:
            minutes: The minutes that the user demanded.
            macs: Multiply-accumulates of the network per image.
            seconds_per_image: Measured seconds per training image and epoch.
        """
        spent_on_macs = max(seconds_per_image - _SECONDS_PER_IMAGE, seconds_per_image / 2)
        return cls(minutes, _PASSES * macs / spent_on_macs, demanded=True)

    @property
    def training_seconds(self) -> float:
        """Seconds for all training runs."""
        seconds = 60.0 * self.minutes
        return _MARGIN * max(seconds / 2, seconds - _OTHER_SECONDS)

    @property
    def study_seconds(self) -> float:
        """Seconds for the study: half of the training time."""
        return self.training_seconds / 2

    @property
    def final_seconds(self) -> float:
        """Seconds for the final training run of the baseline. That of the winner may take `WINNER` times as long."""
        return self.training_seconds / 2 / (1 + WINNER)

    def seconds_per_image(self, macs: float) -> float:
        """Approximate seconds per training image and epoch of a network with these multiply-accumulates per image."""
        return _PASSES * macs / self.macs_per_second + _SECONDS_PER_IMAGE


DEFAULT_TIME = TimeBudget()
