"""A backbone as a plain value, with the digest of its file of weights."""

import stat
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from pipeline.backbones.families import save_command
from pipeline.digest import file_sha256
from pipeline.errors import UserError, message_of
from pipeline.params.base import PositiveFloat, Section
from pipeline.params.model import MIN_INPUT_SIZE, BackboneName, BackboneParams, FineTune


class Backbone(Section):
    """A network of keras.applications without its top. Equal values build networks with equal initial weights."""

    name: BackboneName = Field(description="Name of the network, as in params.yaml.")
    alpha: PositiveFloat = Field(description="Factor for the number of filters of a mobilenet.")
    input_size: Annotated[int, Field(ge=MIN_INPUT_SIZE)] = Field(
        description="Images whose shorter side is smaller are enlarged to this size."
    )
    fine_tune: FineTune = Field(description="Layers that training changes: none, last or all.")
    weights: str | None = Field(description="File with the initial weights; null: random values.")
    sha256: str | None = Field(description="SHA-256 of this file, in hexadecimal digits; null: there is no file.")

    @classmethod
    def from_params(cls, params: BackboneParams) -> Self:
        """Return the backbone that `model.backbone` of params.yaml describes.

        Raises:
            UserError: The file of weights is missing, cannot be read, or is an address.
        """
        if params.weights is not None and "://" in params.weights:
            raise UserError(
                f"model.backbone.weights: must be a file on this machine, got the address {params.weights}; download it"
            )
        return cls(
            name=params.name,
            alpha=params.alpha,
            input_size=params.input_size,
            fine_tune=params.fine_tune,
            weights=params.weights,
            sha256=None if params.weights is None else _sha256_of(params.name, params.alpha, Path(params.weights)),
        )

    @property
    def words(self) -> str:
        """The backbone in words, such as `mobilenet_v2 (frozen)`."""
        alpha = "" if self.alpha == 1.0 else f" {self.alpha:g}"
        training = {"none": "frozen", "last": "last layers fine-tuned", "all": "fine-tuned"}[self.fine_tune]
        return f"{self.name}{alpha} ({training if self.weights else 'random initial weights'})"

    def file(self) -> Path:
        """Return the file of weights.

        Raises:
            UserError: The file is missing, or its content has changed.
            ValueError: The backbone has no weights.
        """
        if self.weights is None:
            raise ValueError("a backbone with random initial weights has no file")
        path = Path(self.weights)
        found = _sha256_of(self.name, self.alpha, path)
        if found != self.sha256:
            raise UserError(
                f"{path}: must be the file with SHA-256 {self.sha256} that the study was run with, got {found}; "
                "restore it, or run `fovea search` again"
            )
        return path


def _sha256_of(name: BackboneName, alpha: float, path: Path) -> str:
    """SHA-256 of a file of weights, in hexadecimal digits."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is not a regular file")  # opening a named pipe would wait for a writer
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"model.backbone.weights: {path}: no such file; it is never downloaded: copy one, or save the weights of "
            f"keras.applications on a computer with Internet access: {save_command(name, alpha, path)}"
        ) from None
    except OSError as error:
        raise UserError(
            f"model.backbone.weights: {path}: cannot be read: {message_of(error)}; name a readable file"
        ) from None


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Digest of a file; size and time of modification are arguments so that a changed file is read again."""
    return file_sha256(path)
