"""A candidate of a study: an architecture, the training settings drawn with it, and its origin."""

from pathlib import Path

from pydantic import Field

from pipeline.cnn.architecture import Architecture, yaml_text
from pipeline.cnn.clipping import clip_architecture
from pipeline.digest import digest
from pipeline.files import write_file
from pipeline.params.base import Section
from pipeline.params.training import TrainingParams
from pipeline.params_file import read_yaml, validate

# Name of the candidate's setting that replaces `augmentation.strength` of the section `training`.
AUGMENTATION_STRENGTH = "augmentation_strength"


class Origin(Section):
    """The trial that a candidate comes from."""

    study: str = Field(description="Name of the study.")
    trial: int = Field(description="Number of the trial.")
    val_accuracy: float = Field(description="Accuracy on the validation split at the trial's last rung.")
    seeds: int = Field(default=0, description="Number of further trainings whose mean made it win; 0: its own value.")


class Candidate(Section):
    """The content of models/architecture.yaml."""

    architecture: Architecture = Field(description="The network.")
    training: dict[str, int | float | str] = Field(description="Training settings that the study drew.")
    origin: Origin | None = Field(default=None, description="Trial that drew it; null: written by hand.")

    @property
    def digest(self) -> str:
        """Digest of the architecture and the training settings, without the origin: 16 hexadecimal digits."""
        return digest(self.model_dump(mode="json", exclude={"origin"}))

    def training_digest(self, training: TrainingParams) -> str:
        """Digest that is equal for candidates with equivalent training runs, even if they are written differently.

        Args:
            training: The section `training` of params.yaml.
        """
        settings = self.overlay(training).model_dump(mode="json")
        if settings["optimizer"] == "adamw":  # Keras's Adam decouples the weight decay as well
            settings["optimizer"] = "adam"
        return digest(clip_architecture(self.architecture).digest, settings)

    def overlay(self, training: TrainingParams, place: str = "candidate") -> TrainingParams:
        """The section `training` with the candidate's settings in place of its own.

        Args:
            training: The section `training` of params.yaml.
            place: Name of the candidate in error messages, such as the file that it was read from.

        Raises:
            ParamsError: A setting is unknown, or breaks its rule.
        """
        settings = training.model_dump(mode="json") | self.training
        strength = settings.pop(AUGMENTATION_STRENGTH, None)
        if strength is not None:
            settings["augmentation"] |= {"strength": strength}
        return validate(TrainingParams, settings, f"{place}: training")


def read_candidate(path: Path) -> Candidate:
    """Read a candidate from a YAML file.

    Raises:
        ParamsError: The file cannot be read, or breaks a rule.
    """
    return validate(Candidate, read_yaml(path), path)


def write_candidate(candidate: Candidate, path: Path) -> None:
    """Write a candidate as YAML. Equal candidates produce identical bytes."""
    write_file(path, yaml_text(candidate.model_dump(mode="json")))
