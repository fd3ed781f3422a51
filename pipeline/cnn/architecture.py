"""Architecture of a network: input shape, classes, blocks or backbone, and head."""

import io
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.representer import SafeRepresenter

from pipeline.backbones.backbone import Backbone
from pipeline.digest import digest
from pipeline.params.base import PositiveInt, Section
from pipeline.params.model import Block, Extent, Head, ModelParams
from pipeline.params_file import read_yaml, validate


class Architecture(Section):
    """Architecture of a network; the conversion to YAML and back is lossless.

    The input is a grid with one (series), two (images) or three (volumes) spatial axes, channels last. Equal
    architectures have equal digests, and build networks of equal structure.
    """

    input_shape: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=4)] = Field(
        description="Extent of each spatial axis, then channels, such as [28, 28, 1]."
    )
    classes: Annotated[int, Field(ge=2)] = Field(description="Number of classes.")
    blocks: tuple[Block, ...] = Field(description="The convolutional blocks, from input to output; may be empty.")
    head: Head = Field(description="The head, from the last feature map to the class scores.")
    backbone: Backbone | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="A network of keras.applications in place of the blocks.",
    )

    @classmethod
    def from_model(cls, model: ModelParams, input_shape: tuple[int, ...], classes: int) -> Self:
        """Combine `model:` of params.yaml with the input shape and the number of classes of a dataset.

        Raises:
            UserError: The weights of `model.backbone` cannot be read.
        """
        content: dict[str, Any] = {"input_shape": input_shape, "classes": classes}
        if model.backbone is None:
            content |= model.model_dump(mode="json")
        else:
            head, backbone = model.backbone.head, Backbone.from_params(model.backbone)
            content |= {
                "blocks": (),
                "head": head.model_dump(mode="json"),
                "backbone": backbone.model_dump(mode="json"),
            }
        return validate(cls, content, "params.yaml: model")

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read an architecture from a YAML file.

        Raises:
            ParamsError: The file cannot be read, or breaks a rule.
        """
        return validate(cls, read_yaml(path), path)

    @property
    def rank(self) -> int:
        """Number of spatial axes: 1, 2 or 3."""
        return len(self.input_shape) - 1

    @property
    def digest(self) -> str:
        """Digest of the architecture: 16 hexadecimal digits."""
        return digest(self.model_dump(mode="json"))

    def to_yaml(self) -> str:
        """Serialize the architecture as YAML text with all keys."""
        return yaml_text(self.model_dump(mode="json"))

    @model_validator(mode="after")
    def _a_backbone_replaces_the_blocks(self) -> Self:
        if self.backbone is not None and self.blocks:
            raise ValueError(f"blocks must be empty beside a backbone, got {len(self.blocks)}; remove one of them")
        return self

    @model_validator(mode="after")
    def _extents_have_the_grid_s_rank(self) -> Self:
        for number, block in enumerate(self.blocks):
            for key in ("kernel_size", "strides", "pool_size", "pool_strides"):
                extent = getattr(block, key)
                if isinstance(extent, tuple) and len(extent) != self.rank:
                    raise ValueError(
                        f"blocks.{number}.{key} must be one number, or a list of {self.rank} (one for each axis), "
                        f"got {list(extent)}; write one number"
                    )
        return self


def per_axis(extent: Extent, rank: int) -> tuple[int, ...]:
    """Expand an extent to one number for each of `rank` spatial axes."""
    return extent if isinstance(extent, tuple) else (extent,) * rank


class _Representer(SafeRepresenter):
    """Writes lists of scalars on one line, everything else in block style."""

    def represent_list(self, data: Any) -> Any:
        flow = not any(isinstance(item, dict | list) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Representer.add_representer(list, _Representer.represent_list)


def yaml_text(content: Any) -> str:
    """Serialize plain values as block-style YAML, with lists of scalars on one line."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()
