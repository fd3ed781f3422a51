"""The rules of `init`, each checked on surveys that differ in one aspect."""

import math
from typing import Any

import pytest

from pipeline.init.data_rules import split_fractions, split_sizes
from pipeline.init.network_rules import baseline
from pipeline.init.run import choose
from pipeline.init.study_rules import planned_seconds, study_epochs
from pipeline.init.training_rules import batch_size, epoch_seconds
from pipeline.surveys.mirroring import MirrorTest
from pipeline.surveys.survey import Survey
from pipeline.surveys.time_budget import TimeBudget


def survey(**changes: Any) -> Survey:
    """A survey of 900 colour files of three classes, 64×64."""
    defaults: dict[str, Any] = {
        "source": "images:data/raw/shapes",
        "classes": ("circle", "square", "triangle"),
        "counts": {"train": (300, 300, 300)},
        "grid": (64, 64),
        "sizes": 1,
        "channels": 3,
        "coloured": 1.0,
        "from_files": True,
        "inspected": 800,
        "unreadable": (),
        "sixteen_bit": None,
        "mirrored": {},
    }
    return Survey(**(defaults | changes))


def decided(**changes: Any) -> dict[str, Any]:
    return {choice.key: choice.value for choice in choose(survey(**changes), "shapes")}


def reasons(**changes: Any) -> dict[str, str]:
    return {choice.key: choice.reason for choice in choose(survey(**changes), "shapes")}


def mirrored(accuracy: float, horizontal: bool, vertical: bool, conclusive: bool = True) -> dict[str, MirrorTest]:
    return {
        "horizontal": MirrorTest(400, accuracy, accuracy, conclusive, horizontal),
        "vertical": MirrorTest(400, accuracy, accuracy, conclusive, vertical),
    }


def test_colour_files_are_rgb_and_grey_ones_grayscale_even_if_a_few_have_colour() -> None:
    assert decided()["data.color_mode"] == "rgb"
    assert decided(coloured=0.0)["data.color_mode"] == "grayscale"
    assert decided(coloured=0.005)["data.color_mode"] == "grayscale"
    assert decided(coloured=0.05)["data.color_mode"] == "rgb"


@pytest.mark.parametrize(
    ("grid", "expected"),
    [((64, 64), [64, 64]), ((28, 28), [28, 28]), ((200, 20), [200, 20]), ((3000, 4000), [80, 112])],
    ids=str,
)
def test_small_images_keep_their_size_and_large_ones_their_aspect(grid: tuple[int, int], expected: list[int]) -> None:
    assert decided(grid=grid)["data.image_size"] == expected


def test_aspect_ratios_that_differ_widely_are_mentioned() -> None:
    assert "data.resize: pad or crop" not in reasons(sizes=9, aspects=(1.0, 1.4))["data.image_size"]
    assert reasons(sizes=9, aspects=(0.56, 1.78))["data.image_size"].endswith(
        "Width by height is from 0.56 to 1.8; data.resize: pad or crop would keep this ratio."
    )


def test_arrays_are_not_resized() -> None:
    assert decided(from_files=False, grid=(300, 300))["data.image_size"] is None


def test_many_classes_with_few_images_need_larger_fractions() -> None:
    classes = tuple(map(str, range(300)))
    test, val = split_fractions(survey(counts={"train": (7,) * 300}, classes=classes))
    assert test * 7 * 300 >= 2 * 300
    assert val * (1 - test) * 7 * 300 >= 2 * 300
    assert test + val < 1


def test_many_images_need_smaller_fractions() -> None:
    few, many = (split_fractions(survey(counts={"train": (count, count)})) for count in (300, 50_000))
    assert few == (0.25, 0.25)
    assert many == (0.1, 0.1)


def test_a_given_split_is_kept() -> None:
    sizes = split_sizes(survey(counts={"train": (400, 400), "test": (50, 50)}))
    assert sizes["test"] == 100
    assert sizes["train"] + sizes["val"] == 800


def test_the_comment_states_the_weight_of_one_validation_image() -> None:
    reason = reasons(counts={"train": (34, 33, 33)})["data.val_fraction"]
    assert "19 images: one image changes the accuracy by 5.3 percentage points" in reason


@pytest.mark.parametrize("grid", [(8, 8), (28, 28), (64, 64), (96, 96), (200, 20)], ids=str)
@pytest.mark.parametrize("count", [40, 300, 20_000])
def test_the_baseline_fits_its_budget(grid: tuple[int, int], count: int) -> None:
    seen = survey(grid=grid, counts={"train": (count, count)}, classes=("a", "b"))
    geometry = baseline(seen).geometry
    chosen = {choice.key: choice.value for choice in choose(seen, "x")}
    assert geometry.params <= chosen["search.budget.max_params"]
    assert geometry.macs <= chosen["search.budget.max_macs"]


def test_a_larger_image_does_not_enlarge_the_baseline() -> None:
    """The head averages the last feature map, so the number of weights does not grow with the image."""
    assert baseline(survey(grid=(64, 64))).model.head.kind == "global_average"
    assert baseline(survey(grid=(64, 64))).geometry.params < 100_000
    assert baseline(survey(grid=(8, 8))).model.head.kind == "flatten"


def test_small_datasets_get_small_batches_and_rungs_of_enough_steps() -> None:
    assert batch_size(100) == 16
    assert batch_size(20_000) == 64
    seen = survey(counts={"train": (60, 60)})
    images = split_sizes(seen)["train"]
    _, first = study_epochs(seen)
    assert first * math.ceil(images / batch_size(images)) >= 150


def test_flips_are_chosen_only_if_they_keep_the_class() -> None:
    flip = "training.augmentation.flip"
    assert decided(coloured=0.0)[flip] == "none"
    assert decided(coloured=0.0, mirrored=mirrored(0.9, True, False))[flip] == "horizontal"
    assert decided(coloured=0.0, mirrored=mirrored(0.9, True, True))[flip] == "both"
    assert decided(coloured=0.0, mirrored=mirrored(0.9, False, False))[flip] == "none"
    assert decided(coloured=0.0, mirrored=mirrored(0.4, True, True, conclusive=False))[flip] == "none"


def test_images_are_not_flipped_without_a_measurement() -> None:
    assert decided()["training.augmentation.flip"] == "none"
    assert "set horizontal if" in reasons()["training.augmentation.flip"]


def test_the_choices_that_affect_a_study_have_reasons() -> None:
    texts = reasons()
    for key in (
        "data.color_mode", "data.image_size", "data.val_fraction", "data.test_fraction", "training.batch_size",
        "model.blocks", "model.head.kind", "search.budget.max_params", "training.augmentation.flip",
        "training.class_weight", "training.epochs", "search.epochs", "search.min_epochs", "search.min_steps",
        "register.gate",
    ):  # fmt: skip
        assert texts[key].endswith("."), key


def test_the_study_searches_the_strength_of_augmentation() -> None:
    chosen = decided()
    assert chosen["training.augmentation.strength"] == 0.0
    assert chosen["training.augmentation.shift"] > 0
    assert chosen["search.space"]["augmentation"] == [0.0, 0.5, 1.0]


def test_classes_of_unequal_size_are_weighted_equally() -> None:
    assert decided()["training.class_weight"] == "none"
    assert decided(counts={"train": (300, 40, 300)})["training.class_weight"] == "balanced"


def test_the_gate_has_only_the_default_rules() -> None:
    assert decided()["register.gate"] == []


def test_top_k_is_below_the_number_of_classes() -> None:
    assert decided()["evaluate.top_k"] == 2
    assert decided(classes=("a", "b"), counts={"train": (50, 50)})["evaluate.top_k"] == 1


MANY: dict[str, Any] = {"counts": {"train": (30_000, 30_000)}, "classes": ("a", "b"), "grid": (28, 28), "channels": 1}
FAST = 2e11  # multiply-accumulates per second


def test_with_more_time_networks_are_deeper_trainings_longer_and_trials_more() -> None:
    little, much = (survey(**MANY, time=TimeBudget(minutes, FAST, demanded=True)) for minutes in (10, 120))
    assert baseline(little).model.blocks[0].convs == 1
    assert baseline(much).model.blocks[0].convs == 2
    before, after = ({choice.key: choice.value for choice in choose(each, "x")} for each in (little, much))
    for key in ("training.epochs", "search.trials", "search.epochs", "search.budget.max_macs"):
        assert after[key] > before[key], key
    assert after["search.space"]["convs"] == {"low": 1, "high": 3}


@pytest.mark.parametrize("minutes", [5.0, 30.0, 60.0, 300.0])
@pytest.mark.parametrize("speed", [3e10, 3e11])
@pytest.mark.parametrize("speedup", [1.0, 1.7])
def test_the_chosen_training_runs_fit_the_time_unless_they_are_the_shortest(
    minutes: float, speed: float, speedup: float
) -> None:
    time = TimeBudget(minutes, speed, demanded=True, study_speedup=speedup)
    seen = survey(**MANY, time=time)
    chosen = {choice.key: choice.value for choice in choose(seen, "x")}
    assert chosen["training.epochs"] == 8 or chosen["training.epochs"] * epoch_seconds(seen) <= time.final_seconds
    first, last = chosen["search.min_epochs"], chosen["search.epochs"]
    study = chosen["search.trials"] * (first + (last - first) / 3) * epoch_seconds(seen)
    assert chosen["search.trials"] == 8 or study <= time.study_seconds
    shortest = chosen["training.epochs"] == 8 or chosen["search.trials"] == 8
    assert shortest or planned_seconds(seen) <= 60 * minutes
    assert time.study_seconds / speedup + 3 * time.final_seconds <= 60 * minutes


def test_a_study_with_faster_workers_has_more_trials_or_epochs() -> None:
    one, two = (
        decided(**MANY, time=TimeBudget(60, 3e10, demanded=True, study_speedup=speedup)) for speedup in (1.0, 1.7)
    )
    assert two["search.trials"] * two["search.epochs"] > one["search.trials"] * one["search.epochs"]
    assert two["training.epochs"] == one["training.epochs"]


def test_the_trainings_of_finalists_are_part_of_the_time() -> None:
    """With 10,000 images, 1,000 are for validation: few enough for finalists."""
    time = TimeBudget(60, FAST, demanded=True)
    seen = survey(**MANY | {"counts": {"train": (5_000, 5_000), "test": (500, 500)}}, time=time)
    chosen = {choice.key: choice.value for choice in choose(seen, "x")}
    assert chosen["search.finalists.count"] == 3
    finals = 4 * 3 * chosen["search.epochs"] * epoch_seconds(seen)
    assert finals < time.study_seconds
    assert planned_seconds(seen) <= time.training_seconds


def test_finalists_use_other_folds_unless_the_source_has_a_validation_split() -> None:
    few = decided()
    assert (few["search.finalists.count"], few["search.finalists.cross_validation"]) == (3, True)
    own = decided(counts={"train": (300, 300, 300), "val": (90, 90, 90)})
    assert (own["search.finalists.count"], own["search.finalists.cross_validation"]) == (3, False)
    many = decided(**MANY)
    assert (many["search.finalists.count"], many["search.finalists.cross_validation"]) == (0, False)


def test_a_sampler_learns_from_16_trials_if_there_are_more() -> None:
    few, many = decided(), decided(**MANY, time=TimeBudget(600, FAST, demanded=True))
    assert few["search.startup_trials"] == few["search.trials"] <= 16
    assert many["search.startup_trials"] == 16 < many["search.trials"]


def test_only_demanded_time_is_filled() -> None:
    few: dict[str, Any] = {"counts": {"train": (300, 300)}, "classes": ("a", "b"), "grid": (28, 28)}
    epochs = [decided(**few, time=TimeBudget(60, FAST, demanded))["training.epochs"] for demanded in (False, True)]
    assert epochs == [57, 120]  # 1,200 steps with 16 of the 338 training images each; as many as there may be


def test_the_speed_is_measured_with_one_network() -> None:
    time = TimeBudget.measured(20, macs=1e7, seconds_per_image=1e-3, study_speedup=1.7)
    assert time.demanded
    assert time.study_speedup == 1.7
    assert time.seconds_per_image(1e7) == pytest.approx(1e-3)
    assert time.seconds_per_image(1e8) > 9e-3


@pytest.mark.parametrize(
    ("kind", "grid", "inputs"),
    [("series", (150,), "series"), ("audio", (128, 40), "recording"), ("volume", (24, 24, 24), "volume")],
)
def test_the_reasons_for_other_kinds_do_not_mention_images(kind: str, grid: tuple[int, ...], inputs: str) -> None:
    texts = reasons(kind=kind, grid=grid, channels=1, inputs=(inputs, inputs))
    assert [key for key, text in texts.items() if "image" in text.lower() or "pixel" in text] == []
    assert "data.image_size" not in texts


def test_inputs_that_are_cut_from_longer_samples_do_not_depend_on_positions() -> None:
    short: dict[str, Any] = {"kind": "series", "grid": (40,), "channels": 1}
    assert decided(**short)["model.head.kind"] == "flatten"
    assert decided(**short, cut=True)["model.head.kind"] == "global_average"


def test_the_certainty_depends_on_the_number_of_files_not_of_their_pieces() -> None:
    pieces: dict[str, Any] = {"kind": "audio", "grid": (98, 40), "channels": 1, "inputs": ("piece", "pieces")}
    many = reasons(**pieces, counts={"train": (600, 600)}, classes=("a", "b"))["data.test_fraction"]
    few = reasons(**pieces, counts={"train": (600, 600)}, samples={"train": (30, 30)}, classes=("a", "b"))
    assert "300 pieces: one piece changes the accuracy by 0.33 percentage points; at 90% accuracy" in many
    assert many.endswith("±3.4 points.")
    assert few["data.test_fraction"].endswith("±15 points.")


def test_kernels_of_series_fit_the_map_of_each_block() -> None:
    kernels = [block.kernel_size for block in baseline(survey(kind="series", grid=(24,), channels=1)).model.blocks]
    assert kernels == [7, 7, 5]
