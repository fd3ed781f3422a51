"""The tables of extension points: each has an entry for every name that params.yaml accepts."""

from typing import get_args

from pipeline.cnn.build import KERAS_LAYERS
from pipeline.cnn.geometry import GEOMETRY
from pipeline.cnn.layers import POOLINGS, Kind
from pipeline.corruptions.corruptions import CORRUPTIONS
from pipeline.evaluation.metrics import METRICS
from pipeline.inference.export import FORMATS
from pipeline.loaders.table import LOADERS
from pipeline.params import Block
from pipeline.params.search import OBJECTIVES, QUALITIES, SAMPLERS, Objective, Sampler
from pipeline.sections.data import SOURCES
from pipeline.sections.gate_rules import QUALITY, Corruption
from pipeline.sections.register import ExportFormat
from search.plots.style import LABELS
from search.study.sampler import OPTUNA_SAMPLERS


def test_every_kind_of_layer_has_a_keras_layer() -> None:
    kinds = get_args(Kind)
    # A backbone is an application of Keras, which takes pixels in the range that it was trained on.
    assert {*KERAS_LAYERS, "input", "standardize", "pixels", "backbone"} == set(kinds)
    assert set(GEOMETRY) <= set(kinds)


def test_every_pooling_has_a_layer() -> None:
    accepted = get_args(Block.model_fields["pooling"].annotation)
    assert [*POOLINGS, "none"] == sorted(accepted, key=[*POOLINGS, "none"].index)


def test_every_sampler_has_traits_and_an_optuna_sampler() -> None:
    assert set(SAMPLERS) == set(OPTUNA_SAMPLERS) == set(get_args(Sampler))


def test_every_objective_has_a_direction_and_a_label() -> None:
    assert set(OBJECTIVES) == set(LABELS) == set(get_args(Objective))
    assert set(QUALITIES) <= set(OBJECTIVES)


def test_every_metric_and_corruption_is_in_its_table() -> None:
    assert list(METRICS) == list(QUALITY)
    assert {name for of_kind in CORRUPTIONS.values() for name in of_kind} == set(get_args(Corruption))


def test_every_source_has_a_loader_and_every_format_an_exporter() -> None:
    assert list(LOADERS) == list(SOURCES)
    assert set(FORMATS) == set(get_args(ExportFormat))
