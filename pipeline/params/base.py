"""Base class and number types of the sections of params.yaml."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_INTEGER = 1_000_000_000
MAX_FLOAT = 1e9
MAX_WIDTH = 65_536  # channels or units of a layer
MAX_DEPTH = 100  # blocks, or layers of a part of a network

PositiveInt = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
PositiveFloat = Annotated[float, Field(gt=0.0, le=MAX_FLOAT)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, le=MAX_FLOAT)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
# Values of samples: the range of float32.
SampleValue = Annotated[float, Field(ge=-3.4e38, le=3.4e38)]
Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
Depth = Annotated[int, Field(ge=1, le=MAX_DEPTH)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
LearningRate = Annotated[float, Field(gt=0.0, le=1000.0)]
# Numbers of processes, threads or devices.
Parallel = Annotated[int, Field(ge=1, le=1024)]
# Large limits on the cost of a network.
Cost = Annotated[int, Field(ge=1, le=10**18)]


class Section(BaseModel):
    """Base class of every section: frozen; rejects unknown keys, implicit conversions, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
