"""The networks that a study tries first: the baseline, and those of the user's files."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate, Origin, write_candidate
from pipeline.errors import UserError
from pipeline.params import Block, BudgetParams, Head, ModelParams, TrainingParams
from pipeline.sections.load import load_params
from search.space.first_trials import baseline_candidate, enqueued_candidates
from tests.search.harness import CLASSES, INPUT_SHAPE, PARAMS

EXAMPLES = PARAMS.parent / "examples" / "architectures"
TRAINING: TrainingParams = load_params(PARAMS).training
NETWORK = Architecture(input_shape=(24, 24, 3), classes=2, blocks=(Block(filters=6),), head=Head(dense=(5,)))


def budget(**limits: Any) -> BudgetParams:
    return BudgetParams.model_validate(dict.fromkeys(BudgetParams.model_fields) | limits)


def enqueued(
    *files: Path, input_shape: tuple[int, ...] = INPUT_SHAPE, limits: BudgetParams | None = None
) -> tuple[Candidate, ...]:
    names = [str(file) for file in files]
    return enqueued_candidates(names, TRAINING, input_shape, CLASSES, limits or budget())


def refused(file: Path, **more: Any) -> str:
    """The error message for a file that cannot be enqueued."""
    with pytest.raises(UserError) as caught:
        enqueued(file, **more)
    return str(caught.value)


def candidate_file(folder: Path, **training: float | str) -> Path:
    write_candidate(Candidate(architecture=NETWORK, training=training), path := folder / "mine.yaml")
    return path


def test_the_baseline_is_the_model_as_written_for_the_dataset() -> None:
    model = load_params(PARAMS).model
    candidate = baseline_candidate(model, INPUT_SHAPE, CLASSES, budget())
    assert candidate.architecture == Architecture.from_model(model, INPUT_SHAPE, CLASSES)
    assert candidate.training == {}
    assert candidate.origin is None


def test_a_baseline_over_the_budget_is_refused() -> None:
    model = ModelParams(blocks=(Block(filters=64),), head=Head())
    message = (
        r"^params\.yaml: model: the network must not exceed the budget, but 10,890 parameters exceed "
        r"search\.budget\.max_params of 10,889"
    )
    assert baseline_candidate(model, INPUT_SHAPE, CLASSES, budget(max_params=10_890)).architecture.blocks
    with pytest.raises(UserError, match=message):
        baseline_candidate(model, INPUT_SHAPE, CLASSES, budget(max_params=10_889))


@pytest.mark.parametrize(
    ("block", "input_shape", "message"),
    [
        (
            {"kernel_size": 9, "padding": "valid"},
            (8, 8, 1),
            r"^params\.yaml: model\.blocks\.0.* kernel of 9×9 is larger",
        ),
        ({"pool_size": 9}, (8, 8, 1), r"^params\.yaml: model\.blocks\.0.* window of 9×9 is larger"),
        (
            {"convolution": "separable"},
            (8, 8, 8, 1),
            r"^params\.yaml: model: .* no separable convolution for 3-D grids",
        ),
        ({"kernel_size": (3, 3)}, (8, 1), r"^params\.yaml: model: blocks\.0\.kernel_size must be one number"),
    ],
)
def test_an_impossible_baseline_is_refused_with_its_key(
    block: dict[str, Any], input_shape: tuple[int, ...], message: str
) -> None:
    model = ModelParams(blocks=(Block(filters=4, **block),), head=Head())
    with pytest.raises(UserError, match=message):
        baseline_candidate(model, input_shape, CLASSES, budget())


def test_without_files_there_are_no_candidates() -> None:
    assert enqueued() == ()


def test_a_file_may_contain_an_architecture_only() -> None:
    (candidate,) = enqueued(EXAMPLES / "xo.yaml")
    written = Architecture.from_yaml(EXAMPLES / "xo.yaml")
    assert (candidate.architecture.blocks, candidate.architecture.head) == (written.blocks, written.head)
    assert candidate.training == {}


def test_a_file_may_contain_a_candidate_with_training_settings(tmp_path: Path) -> None:
    (candidate,) = enqueued(candidate_file(tmp_path, learning_rate=0.02, optimizer="sgd", augmentation_strength=0.5))
    assert (candidate.architecture.blocks, candidate.architecture.head) == (NETWORK.blocks, NETWORK.head)
    assert candidate.training == {"learning_rate": 0.02, "optimizer": "sgd", "augmentation_strength": 0.5}


def test_the_origin_of_a_candidate_is_dropped(tmp_path: Path) -> None:
    origin = Origin(study="study-1-12", trial=3, val_accuracy=0.9)
    candidate = Candidate(architecture=NETWORK, training={"learning_rate": 0.02})
    write_candidate(candidate.model_copy(update={"origin": origin}), tmp_path / "winner.yaml")
    assert enqueued(tmp_path / "winner.yaml") == enqueued(candidate_file(tmp_path, learning_rate=0.02))


@pytest.mark.parametrize("input_shape", [(8, 8, 1), (16, 3), (6, 7, 8, 2)])
def test_the_grid_and_the_classes_are_those_of_the_dataset(tmp_path: Path, input_shape: tuple[int, ...]) -> None:
    found = enqueued(EXAMPLES / "xo.yaml", candidate_file(tmp_path), input_shape=input_shape)
    assert [each.architecture.input_shape for each in found] == [input_shape] * 2
    assert [each.architecture.classes for each in found] == [CLASSES] * 2


def test_candidates_are_in_the_order_of_their_files(tmp_path: Path) -> None:
    files = (candidate_file(tmp_path), EXAMPLES / "xo.yaml")
    assert enqueued(*files) == (*enqueued(files[0]), *enqueued(files[1])) == enqueued(*reversed(files))[::-1]


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere.yaml").startswith(f"{tmp_path}/nowhere.yaml: no such file")


def test_an_invalid_file_is_reported_by_its_name(tmp_path: Path) -> None:
    (file := tmp_path / "typing.yaml").write_text((EXAMPLES / "xo.yaml").read_text().replace("pooling", "poling"))
    assert refused(file).startswith(f"{file}: architecture.blocks.0.poling: unknown key; did you mean pooling?")


def test_a_file_for_a_grid_of_another_rank_is_reported_by_its_name(tmp_path: Path) -> None:
    network = NETWORK.model_copy(update={"blocks": (Block(filters=4, kernel_size=(3, 5)),)})
    (file := tmp_path / "plane.yaml").write_text(network.to_yaml())
    printed = refused(file, input_shape=(16, 3))
    assert printed.startswith(f"{file}: architecture: blocks.0.kernel_size must be one number, or a list of 1 ")


def test_a_network_that_does_not_fit_the_grid_is_reported_with_its_file() -> None:
    printed = refused(EXAMPLES / "lenet5.yaml")
    assert "search.enqueue" in printed
    assert f"{EXAMPLES}/lenet5.yaml" in printed
    assert "kernel of 5×5 is larger than its feature map of 4×4" in printed


def test_a_network_over_the_budget_is_reported_with_its_file() -> None:
    colour = (32, 32, 3)
    assert enqueued(EXAMPLES / "vgg_small.yaml", input_shape=colour)
    printed = refused(EXAMPLES / "vgg_small.yaml", input_shape=colour, limits=budget(max_params=200_000))
    assert "search.enqueue" in printed
    assert f"{EXAMPLES}/vgg_small.yaml" in printed
    assert "parameters exceed search.budget.max_params of 200,000" in printed


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"learning_rat": 0.1}, "learning_rat: unknown key; did you mean learning_rate?"),
        ({"learning_rate": -0.1}, "learning_rate: input should be greater than 0, got -0.1"),
        ({"augmentation_strength": -1.0}, "augmentation.strength: input should be greater than or equal to 0"),
    ],
)
def test_an_invalid_training_setting_is_reported_with_its_file(
    tmp_path: Path, setting: dict[str, float], sentence: str
) -> None:
    file = candidate_file(tmp_path, **setting)
    printed = refused(file)
    assert printed.startswith(f"{file}: ")
    assert sentence in printed
