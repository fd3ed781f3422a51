"""The rules of `model.backbone`, and the file of weights that it names."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import Infeasible, compute_geometry
from pipeline.description.notation import in_words
from pipeline.errors import UserError
from pipeline.params import BudgetParams
from pipeline.params.model import BackboneParams, Head, ModelParams
from pipeline.params_file import ParamsError, validate
from search.space.first_trials import baseline_candidate
from tests.pipeline.backbones.files import SMALL, architecture, backbone

FILE = "data/weights/small.weights.h5"


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that nobody reads."""
    monkeypatch.chdir(tmp_path)
    path = Path(FILE)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "vgg16"}, "name: input should be 'mobilenet', 'mobilenet_v2'"),
        ({"weights": None}, "fine_tune: none requires weights, since frozen layers with random values are of no use"),
        ({"weights": None, "fine_tune": "last"}, "fine_tune: last requires weights"),
        ({"weights": "small.npz"}, "weights: must be a file that ends in .weights.h5 or .h5, got 'small.npz'"),
        ({"name": "resnet50", "alpha": 0.5}, "alpha: must be 1.0 unless name is one of mobilenet, mobilenet_v2"),
        ({"input_size": 31}, "input_size: input should be greater than or equal to 32, got 31"),
    ],
)
def test_values_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as raised:
        validate(BackboneParams, SMALL | {"weights": FILE} | changes, "params.yaml: model.backbone")
    assert message in str(raised.value)


def test_a_missing_file_says_where_weights_come_from() -> None:
    with pytest.raises(UserError) as raised:
        backbone(weights="data/weights/none.h5", name="mobilenet_v2", alpha=0.5)
    assert str(raised.value).startswith("model.backbone.weights: data/weights/none.h5: no such file; it is never ")
    command = 'python -c \'import keras; keras.applications.MobileNetV2(weights="imagenet", include_top=False, '
    assert f'{command}alpha=0.5).save_weights("data/weights/none.weights.h5")\'' in str(raised.value)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_not_a_regular_file_is_refused(make: Callable[[str], None]) -> None:
    make("other.h5")
    with pytest.raises(UserError, match=r"other\.h5: cannot be read: it is not a regular file; name a readable file"):
        backbone(weights="other.h5")


def test_a_changed_file_changes_the_architecture_and_is_refused_afterwards(weights: Path) -> None:
    before = architecture(weights=FILE)
    status = weights.stat()
    weights.write_bytes(b"CONTENT")
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert architecture(weights=FILE).digest != before.digest
    assert before.backbone is not None
    with pytest.raises(UserError, match=r"must be the file with SHA-256 ed7002b439e9.*run `fovea search` again"):
        before.backbone.file()


def test_an_architecture_without_a_backbone_is_written_as_before() -> None:
    model = ModelParams(blocks=(), head=Head(), backbone=None)
    assert set(model.model_dump(mode="json")) == {"blocks", "head"}
    plain = architecture(weights=FILE).model_copy(update={"backbone": None})
    assert set(plain.model_dump(mode="json")) == {"input_shape", "classes", "blocks", "head"}


def test_a_backbone_survives_yaml(tmp_path: Path) -> None:
    written = architecture(weights=FILE, fine_tune="last", input_size=48)
    (tmp_path / "architecture.yaml").write_text(written.to_yaml())
    assert type(written).from_yaml(tmp_path / "architecture.yaml") == written


def test_blocks_beside_a_backbone_are_refused() -> None:
    content = architecture(weights=FILE).model_dump(mode="json") | {"blocks": [{"filters": 4}]}
    with pytest.raises(ParamsError, match="blocks must be empty beside a backbone, got 1"):
        validate(type(architecture(weights=FILE)), content, "models/architecture.yaml")


@pytest.mark.parametrize("shape", [(30, 2), (8, 8, 8, 1)])
def test_only_images_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(Infeasible, match=rf"requires images \(2-D grids\), got a {len(shape) - 1}-D grid"):
        compute_geometry(architecture(shape, weights=FILE))


def test_a_grid_that_does_not_fit_is_reported_with_its_key() -> None:
    model = ModelParams(blocks=(), head=Head(), backbone=BackboneParams.model_validate(SMALL | {"weights": FILE}))
    with pytest.raises(UserError, match=r"^params\.yaml: model\.backbone: mobilenet requires images"):
        baseline_candidate(model, (30, 2), 2, BudgetParams.model_validate(dict.fromkeys(BudgetParams.model_fields)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": FILE}, "mobilenet 0.25 (frozen), global average pool, head dropout 0.2"),
        ({"weights": FILE, "fine_tune": "last"}, "mobilenet 0.25 (last layers fine-tuned), global average pool"),
        ({"fine_tune": "all", "name": "resnet50", "alpha": 1.0}, "resnet50 (random initial weights), global average"),
    ],
)
def test_the_description_names_the_backbone(changes: dict[str, Any], words: str) -> None:
    assert in_words(Candidate(architecture=architecture(**changes), training={})).startswith(words)
