"""Search spaces, a baseline model, and random draws that are recorded."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.params import Block, Head, ModelParams, SpaceParams, TrainingParams
from search.estimate.precheck import RandomDraws

TRAINING = TrainingParams.model_validate(
    {
        "epochs": 40, "batch_size": 64, "optimizer": "adam", "learning_rate": 0.003, "schedule": "cosine",
        "momentum": 0.9, "weight_decay": 0.0, "loss": "cross_entropy",
        "average_weights": False, "first_layer": "random", "label_smoothing": 0.0,
        "class_weight": "none",
        "patience": 12, "precision": "float32", "threads": 2, "gpus": 1,
        "augmentation": {"strength": 1.0, "flip": "none", "shift": 0.1, "rotate": 0.0, "zoom": 0.0, "noise": 0.0},
    }
)  # fmt: skip
MODEL = ModelParams(
    blocks=(Block(filters=8, kernel_size=5, padding="valid"), Block(filters=24, dropout=0.1)),
    head=Head(dense=(32, 16), dropout=0.3),
)


def space(**keys: object) -> SpaceParams:
    return SpaceParams.model_validate(keys)


def per_block(*choices: object) -> dict[str, object]:
    return {"choices": list(choices), "per_block": True}


# Every key, with as much as possible drawn per block.
WIDE = space(
    blocks={"low": 1, "high": 5},
    filters=[4, 8],
    filter_growth={"low": 0.5, "high": 2.0},
    convs={"low": 1, "high": 3, "per_block": True},
    kernel_size=per_block(1, 2, 3, 5, 7, 11),
    strides={"low": 1, "high": 4, "per_block": True},
    padding=["same", "valid"],
    convolution=per_block("ordinary", "separable"),
    normalization=["none", "batch"],
    activation=per_block("relu", "silu"),
    residual=per_block(False, True),
    attention=per_block("none", "squeeze_excite"),
    pooling=per_block("max", "average", "min", "sum", "none"),
    pool_size={"low": 1, "high": 5},
    pool_strides={"low": 1, "high": 4, "per_block": True},
    pool_first=per_block(False, True),
    dropout={"low": 0.0, "high": 0.5, "step": 0.1},
    head=["flatten", "global_average", "global_max", "convolution"],
    dense_layers={"low": 0, "high": 2},
    dense_units={"low": 4, "high": 64, "log": True},
    head_dropout=[0.0, 0.5],
    optimizer=["sgd", "adam"],
    learning_rate={"low": 0.001, "high": 0.1, "log": True},
    weight_decay=[0.0, 0.01],
    label_smoothing=[0.0, 0.1],
    batch_size=[32, 64],
    augmentation={"low": 0.0, "high": 2.0},
)
# The opposite: keys that others depend on are drawn once, dependent keys per block.
SHARED = space(
    blocks={"low": 1, "high": 4},
    filters=per_block(4, 8),
    kernel_size=[3, 5],
    padding=per_block("same", "valid"),
    residual=[False, True],
    attention=["none", "squeeze_excite"],
    pooling=["max", "none"],
    pool_size=per_block(2, 3),
    pool_strides=[1, 2],
    pool_first=[False, True],
    dense_layers=[0, 1],
    dense_units=[8, 16],
)


class RecordingDraws(RandomDraws):
    """Records the values that are drawn, at random except for the `fixed` ones.

    Attributes:
        values: The drawn values by name.
        ranges: The ranges or choices of the values by name.
    """

    def __init__(self, seed: int, fixed: Mapping[str, Any] | None = None) -> None:
        super().__init__(seed)
        self._fixed = fixed or {}
        self.values: dict[str, Any] = {}
        self.ranges: dict[str, tuple[object, ...]] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._keep(name, tuple(choices), super().suggest_categorical(name, choices))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        value = super().suggest_int(name, low, high, step=step, log=log)
        return int(self._keep(name, (low, high, step, log), value))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = super().suggest_float(name, low, high, step=step, log=log)
        return float(self._keep(name, (low, high, step, log), value))

    def _keep(self, name: str, drawn_from: tuple[object, ...], value: Any) -> Any:
        assert name not in self.values, f"{name} is drawn twice"
        self.ranges[name] = drawn_from
        self.values[name] = self._fixed.get(name, value)
        return self.values[name]


def key_of(name: str) -> str:
    """The key of the space that a variable belongs to."""
    return name if name in SpaceParams.model_fields else name.rsplit("_", 1)[0]
