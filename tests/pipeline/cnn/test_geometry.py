from math import prod
from pathlib import Path

import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.clipping import clip_architecture
from pipeline.cnn.geometry import Geometry, Infeasible, LayerGeometry, compute_geometry
from tests.pipeline.cnn.architectures import one_block, random_architecture


def test_hand_computed_figures_of_a_small_network() -> None:
    geometry = compute_geometry(one_block(kernel_size=3, pooling="max", pool_size=2))
    by_name = {entry.layer.name: entry for entry in geometry.layers}
    assert by_name["block1_conv1"].params == 3 * 3 * 1 * 4 + 4
    assert by_name["block1_conv1"].macs == 8 * 8 * 3 * 3 * 1 * 4
    assert by_name["block1_pool"].output_shape == (4, 4, 4)
    assert by_name["block1_pool"].receptive_field == (4, 4)
    assert by_name["block1_pool"].jump == (2, 2)
    assert by_name["scores"].params == 64 * 3 + 3
    assert geometry.activation_bytes == 4 * (64 + 64 + 256 + 256 + 64 + 64 + 3)


def test_pooling_first_saves_three_quarters_of_normalization_and_activation() -> None:
    block = {"pooling": "max", "normalization": "batch", "convs": 2}
    late, early = (compute_geometry(one_block(**block, pool_first=first)) for first in (False, True))
    assert [entry.layer.name for entry in early.layers][5:9] == [
        "block1_conv2",
        "block1_pool",
        "block1_norm2",
        "block1_act2",
    ]
    assert (early.params, early.macs, early.receptive_field) == (late.params, late.macs, late.receptive_field)
    assert late.activation_bytes - early.activation_bytes == 4 * 2 * (8 * 8 - 4 * 4) * 4


@pytest.mark.parametrize(("pooling", "last"), [("min", "block1_restore"), ("sum", "block1_total")])
def test_the_layer_after_a_pooling_takes_the_output_of_its_last_layer(pooling: str, last: str) -> None:
    for first, follower in ((True, "block1_act1"), (False, "block1_drop")):
        layers = compute_geometry(one_block(pooling=pooling, pool_first=first, dropout=0.1)).layers
        assert next(entry for entry in layers if entry.layer.name == follower).layer.inputs == (last,)


@pytest.mark.parametrize("other", [{"residual": True}, {"attention": "squeeze_excite"}], ids=str)
def test_residual_blocks_and_attention_exclude_pooling_first(other: dict) -> None:
    with pytest.raises(ValueError, match="pool_first: true requires residual: false and attention: none"):
        one_block(**other, pool_first=True, pooling="max")


def seen(geometry: Geometry, entry: LayerGeometry, at: int, axis: int) -> set[int]:
    """The input positions that position `at` of a layer depends on along an axis, on a grid without borders."""
    layer = entry.layer
    if not layer.inputs:
        return {at}
    sources = [source for source in geometry.layers if source.layer.name in layer.inputs]
    if layer.kind == "multiply":  # the gate of attention, which sees the whole map, is ignored
        sources = sources[:1]
    if layer.kind in ("global_average", "global_max", "flatten") or layer.whole:
        positions = range(sources[0].output_shape[axis]) if len(sources[0].output_shape) > axis + 1 else range(1)
    elif layer.extent:
        positions = range(at * layer.strides[axis], at * layer.strides[axis] + layer.extent[axis])
    else:
        positions = range(at, at + 1)
    return set().union(*(seen(geometry, source, each, axis) for source in sources for each in positions))


def test_receptive_fields_and_jumps_are_those_of_traced_positions() -> None:
    for seed in range(60):
        geometry = compute_geometry(clip_architecture(random_architecture(seed)))
        for entry in geometry.layers:
            for axis, (field, jump) in enumerate(zip(entry.receptive_field, entry.jump, strict=True)):
                first, second = seen(geometry, entry, 0, axis), seen(geometry, entry, 1, axis)
                assert max(first) - min(first) + 1 == field, (seed, entry)
                if len(entry.output_shape) > axis + 1 and not entry.layer.whole:
                    assert min(second) - min(first) in (jump, 0), (seed, entry)


def test_costs_are_those_of_all_positions() -> None:
    for seed in range(200):
        geometry = compute_geometry(clip_architecture(random_architecture(seed)))
        for entry in geometry.layers:
            *grid, channels = entry.output_shape
            weights = entry.params - channels * entry.layer.use_bias if entry.layer.channels else 0
            assert entry.macs == prod(grid) * weights, (seed, entry)
        assert geometry.macs == sum(entry.macs for entry in geometry.layers)
        assert geometry.activation_bytes == 4 * sum(prod(entry.output_shape) for entry in geometry.layers)
        assert geometry.trainable_params <= geometry.params == sum(entry.params for entry in geometry.layers)


def test_lenet5_has_the_published_receptive_field() -> None:
    # 5×5, 2×2/2, 5×5, 2×2/2: 5, 6, 14, 16 by the recurrence of Araujo, Norris and Sim (2019)
    lenet5 = Architecture.from_yaml(Path("examples/architectures/lenet5.yaml"))
    assert compute_geometry(lenet5).receptive_field == (16, 16)
    assert compute_geometry(lenet5).params == 61_706


@pytest.mark.parametrize(
    ("block", "grid", "message"),
    [
        ({"kernel_size": 9}, (8, 8, 1), "blocks.0.kernel_size: block1_conv1's kernel of 9×9"),
        ({"kernel_size": 9}, (8, 8, 1), "larger than its feature map of 8×8"),
        ({"kernel_size": 5, "convs": 2, "padding": "valid"}, (8, 8, 1), "block1_conv2"),
        ({"pooling": "max", "pool_size": 9}, (8, 8, 1), "blocks.0.pool_size: block1_pool's window of 9×9"),
        ({"convolution": "separable"}, (8, 8, 8, 1), "no separable convolution for 3-D"),
        ({"convolution": "separable", "strides": (1, 2)}, (8, 8, 1), "equal strides"),
    ],
)
def test_an_infeasible_architecture_is_reported_with_place_and_reason(
    block: dict, grid: tuple[int, ...], message: str
) -> None:
    with pytest.raises(Infeasible, match=message):
        compute_geometry(one_block(grid, **block))


def test_an_extent_of_the_wrong_rank_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"blocks\.0\.kernel_size must be one number, or a list of 2 \(one for each axis\)"
    ):
        one_block(kernel_size=(3, 3, 3))


@pytest.mark.slow
def test_yaml_round_trip_loses_nothing(tmp_path) -> None:
    for seed in range(200):
        architecture = random_architecture(seed)
        path = tmp_path / "architecture.yaml"
        path.write_text(architecture.to_yaml(), encoding="utf-8")
        again = Architecture.from_yaml(path)
        assert again == architecture
        assert again.digest == architecture.digest


def test_different_architectures_have_different_digests() -> None:
    architectures = {random_architecture(seed) for seed in range(500)}
    assert len({architecture.digest for architecture in architectures}) == len(architectures)
