"""Kernels, windows and strides are clipped to what fits."""

import pytest

from pipeline.cnn.clipping import clip_architecture
from pipeline.cnn.geometry import Infeasible, compute_geometry
from tests.pipeline.cnn.architectures import one_block, random_architecture


@pytest.mark.slow
def test_clipped_architectures_fit_and_clipping_twice_changes_nothing() -> None:
    clipped = 0
    for seed in range(5_000):
        drawn = random_architecture(seed)
        fitting = clip_architecture(drawn)
        compute_geometry(fitting)
        assert clip_architecture(fitting) == fitting
        clipped += fitting != drawn
    assert clipped > 1_000  # the sample does contain infeasible architectures


@pytest.mark.slow
def test_clipping_does_not_change_the_cost_of_feasible_architectures() -> None:
    kept = 0
    for seed in range(2_000):
        drawn = random_architecture(seed)
        try:
            geometry = compute_geometry(drawn)
        except Infeasible:
            continue
        clipped = compute_geometry(clip_architecture(drawn))
        assert (clipped.params, clipped.macs) == (geometry.params, geometry.macs), seed
        kept += clip_architecture(drawn) == drawn
    assert kept > 200


def test_a_window_of_1_with_strides_is_kept() -> None:
    subsampling = one_block(pooling="max", pool_size=1, pool_strides=2)
    assert clip_architecture(subsampling) == subsampling
    assert clip_architecture(one_block(pooling="max", pool_size=1, pool_strides=1)).blocks[0].pooling == "none"


def test_blocks_without_pooling_ignore_pooling_settings() -> None:
    clipped_away = one_block(pooling="max", pool_size=1, pool_strides=1, pool_first=True)
    never_there = one_block(pooling="none", pool_size=3, pool_strides=2)
    assert clip_architecture(clipped_away) == clip_architecture(never_there) == one_block()
