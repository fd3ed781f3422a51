"""What a study hands to training: an architecture, the training settings found with it, and where it comes from."""

from pathlib import Path

from pydantic import Field

from pipeline.cnn.architecture import Architecture, yaml_text
from pipeline.cnn.geometry import effective
from pipeline.digest import digest
from pipeline.files import write_file
from pipeline.params.base import Section
from pipeline.params.sections import TrainingParams
from pipeline.params_file import read_yaml, validate

# The setting of a candidate that stands for `augmentation.strength` of the `training:` section.
AUGMENTATION_STRENGTH = "augmentation_strength"


class Origin(Section):
    """The trial that a candidate comes from."""

    study: str = Field(description="Name of the study.")
    trial: int = Field(description="Number of the trial.")
    val_accuracy: float = Field(description="Accuracy on the validation split at the trial's last rung.")


class Candidate(Section):
    """The content of models/architecture.yaml."""

    architecture: Architecture = Field(description="The network.")
    training: dict[str, int | float | str] = Field(description="Training settings that the study drew with it.")
    origin: Origin | None = Field(default=None, description="Where it comes from; null: written by hand.")

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name architecture and training settings, wherever they come from."""
        return digest(self.model_dump(mode="json", exclude={"origin"}))

    def training_digest(self, training: TrainingParams) -> str:
        """Equal for candidates that come to the same training, however they are written.

        Args:
            training: the section `training:` of params.yaml.
        """
        settings = self.overlay(training).model_dump(mode="json")
        if settings["optimizer"] == "adamw":  # Adam's weight decay is decoupled, too
            settings["optimizer"] = "adam"
        return digest(effective(self.architecture).digest, settings)

    def overlay(self, training: TrainingParams, place: str = "candidate") -> TrainingParams:
        """The `training:` section with the settings of this candidate in place of its own.

        Args:
            training: the section.
            place: what errors call the candidate, such as the file that it was read from.

        Raises:
            ParamsError: a setting is unknown, or breaks its rule.
        """
        settings = training.model_dump(mode="json") | self.training
        strength = settings.pop(AUGMENTATION_STRENGTH, None)
        if strength is not None:
            settings["augmentation"] |= {"strength": strength}
        return validate(TrainingParams, settings, f"{place}: training")


def read_candidate(path: Path) -> Candidate:
    """The candidate in a YAML file.

    Raises:
        ParamsError: the file cannot be read, or breaks a rule.
    """
    return validate(Candidate, read_yaml(path), path)


def write_candidate(candidate: Candidate, path: Path) -> None:
    """Write a candidate as YAML; equal candidates give equal bytes."""
    write_file(path, yaml_text(candidate.model_dump(mode="json")))
