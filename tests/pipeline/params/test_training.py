"""The sections `training` and `model` of params.yaml."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.params.model import BackboneParams, Block
from pipeline.params.training import AugmentationParams, TrainingParams
from tests.pipeline.param_sections import params_with


def augmentation(**amounts: float) -> AugmentationParams:
    none = {"strength": 1.0, "flip": "none", "shift": 0.0, "rotate": 0.0, "zoom": 0.0, "noise": 0.0}
    return AugmentationParams.model_validate(none | amounts)


@pytest.mark.parametrize(
    ("strength", "amounts", "scaled"),
    [
        (2.0, {"shift": 0.3, "rotate": 40.0, "zoom": 0.2, "noise": 0.1}, (0.6, 80.0, 0.4, 0.2)),
        (0.5, {"shift": 0.3, "rotate": 40.0, "zoom": 0.2, "noise": 0.1}, (0.15, 20.0, 0.1, 0.05)),
        (4.0, {"shift": 0.3, "rotate": 90.0, "zoom": 0.5, "noise": 3.0}, (0.99, 180.0, 0.99, 12.0)),
        (4.0, {"shift": 0.995, "zoom": 0.995}, (0.995, 0.0, 0.995, 0.0)),
    ],
)
def test_amounts_are_scaled_by_the_strength_within_their_ranges(
    strength: float, amounts: dict[str, float], scaled: tuple[float, ...]
) -> None:
    found = augmentation(strength=strength, **amounts).scaled()
    assert found.strength == 1.0
    assert (found.shift, found.rotate, found.zoom, found.noise) == pytest.approx(scaled)


def test_gpus_divide_the_batch() -> None:
    content = params_with().training.model_dump()
    assert TrainingParams.model_validate(content | {"batch_size": 60, "gpus": 4}).gpus == 4
    with pytest.raises(ValidationError, match="gpus must divide batch_size, got gpus: 4, batch_size: 62"):
        TrainingParams.model_validate(content | {"batch_size": 62, "gpus": 4})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"residual": True}, None),
        ({"padding": "valid"}, None),
        ({"pool_first": True}, None),
        ({"residual": True, "padding": "valid"}, "residual: true requires padding: same"),
        ({"residual": True, "pool_first": True}, "got residual: true, attention: none; set pool_first: false"),
        ({"attention": "squeeze_excite", "pool_first": True}, "got residual: false, attention: squeeze_excite"),
    ],
    ids=str,
)
def test_parts_of_a_block_fit_each_other(values: dict[str, Any], message: str | None) -> None:
    if message is None:
        assert Block(filters=4, **values).filters == 4
        return
    with pytest.raises(ValidationError, match=message):
        Block(filters=4, **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "resnet50", "fine_tune": "all"}, None),
        ({"name": "resnet50", "weights": "data/weights/a.weights.h5"}, None),
        ({"name": "resnet50", "weights": "data/weights/a.h5", "fine_tune": "last"}, None),
        ({"name": "mobilenet_v2", "fine_tune": "all", "alpha": 0.5}, None),
        (
            {"name": "resnet50", "weights": "data/weights/a.keras"},
            r"weights: must be a file that ends in \.weights\.h5",
        ),
        ({"name": "resnet50"}, "fine_tune: none requires weights"),
        ({"name": "resnet50", "fine_tune": "last"}, "fine_tune: last requires weights"),
        ({"name": "resnet50", "fine_tune": "all", "alpha": 0.5}, "alpha: must be 1.0 unless .* got 0.5 for resnet50"),
        ({"name": "resnet50", "fine_tune": "all", "alpha": 1.5}, "alpha: must be 1.0 unless .* got 1.5 for resnet50"),
    ],
    ids=str,
)
def test_a_backbone_has_learned_something_and_only_a_mobilenet_has_an_alpha(
    values: dict[str, Any], message: str | None
) -> None:
    if message is None:
        assert BackboneParams(**values).name == values["name"]
        return
    with pytest.raises(ValidationError, match=message):
        BackboneParams(**values)
