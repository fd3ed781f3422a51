import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.data.input_format import ImageFormat
from pipeline.errors import UserError
from pipeline.loaders import huggingface
from pipeline.loaders.huggingface import RowContent
from pipeline.sources.source import Source
from tests.installed import NEEDS_DATASETS
from tests.pipeline.param_sections import data_params
from tests.pipeline.sources.loading import load

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets that are made from files are cached in a folder of the test."""
    if huggingface.find_spec("datasets") is not None:
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def png(pixels: np.ndarray) -> dict[str, Any]:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def dataset(labels: Any = None, label: Any = None, **columns: Any) -> Any:
    """Six grey images with labels; by default, classes with names."""
    import datasets

    features = {"image": datasets.Image(), "label": label or datasets.ClassLabel(names=["cat", "dog"])}
    content = {"image": [png(each) for each in PIXELS], "label": labels or [0, 1] * 3}
    for name, (values, feature) in columns.items():
        content[name], features[name] = values, feature
    return datasets.Dataset.from_dict(content, features=datasets.Features(features))


def loaded(folder: Path, splits: Any, **params: Any) -> Source:
    import datasets

    saved = datasets.DatasetDict(splits) if isinstance(splits, dict) else splits
    saved.save_to_disk(folder / "saved")
    return load(data_params(source=f"huggingface:{folder / 'saved'}", **params), seed=0)


@NEEDS_DATASETS
def test_splits_classes_and_images_are_read(tmp_path: Path) -> None:
    whole = dataset()
    source = loaded(tmp_path, {"train": whole, "validation": whole.select([0, 1]), "test": whole.select([1, 2, 3])})
    assert (source.name, source.classes) == ("saved", ("cat", "dog"))
    assert {split: len(rows) for split, (rows, _) in source.parts.items()} == {"train": 6, "val": 2, "test": 3}
    images, labels = source.parts["train"]
    np.testing.assert_array_equal(images[:][..., 0], PIXELS)
    assert labels.tolist() == [0, 1] * 3
    assert source.names["test"] == ["test 0", "test 1", "test 2"]
    assert source.input_format == ImageFormat(color_mode="grayscale", image_size=None)


@NEEDS_DATASETS
def test_a_dataset_without_splits_is_the_training_split(tmp_path: Path) -> None:
    source = loaded(tmp_path, dataset())
    assert list(source.parts) == ["train"]
    assert source.names["train"][:2] == ["image 0", "image 1"], "a part of them will be the test split"


@NEEDS_DATASETS
def test_images_are_converted_like_files(tmp_path: Path) -> None:
    source = loaded(tmp_path, dataset(), image_size=[8, 8], color_mode="rgb")
    assert source.parts["train"][0].shape == (6, 8, 8, 3)


@NEEDS_DATASETS
def test_a_folder_of_files_is_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            (tmp_path / "files/train" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(PIXELS[number]).save(tmp_path / "files/train" / name / f"{number}.png")
    source = load(data_params(source=f"huggingface:{tmp_path / 'files'}"), seed=0)
    assert source.classes == ("a", "b")
    assert source.parts["train"][0].shape == (4, 5, 4, 1)


@NEEDS_DATASETS
@pytest.mark.parametrize(("labels", "classes"), [(["dog", "cat"] * 3, ("cat", "dog")), ([7, 3] * 3, ("3", "7"))])
def test_labels_may_be_names_or_numbers(tmp_path: Path, labels: list[Any], classes: tuple[str, ...]) -> None:
    import datasets

    source = loaded(tmp_path, dataset(labels, datasets.Value("string" if isinstance(labels[0], str) else "int64")))
    assert source.classes == classes
    assert source.parts["train"][1].tolist() == [1, 0] * 3


@NEEDS_DATASETS
def test_unreadable_rows_are_listed_or_skipped(tmp_path: Path) -> None:
    import datasets

    content = [png(PIXELS[0]), None, {"bytes": b"damaged", "path": None}, png(PIXELS[0])]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    whole = datasets.Dataset.from_dict({"image": content, "label": [0, 1, 0, 1]}, features=features)
    with pytest.raises(UserError, match="2 of 4 files are not readable") as caught:
        loaded(tmp_path, whole)
    assert "train/1: must have an image, got none" in str(caught.value)
    source = load(data_params(source=f"huggingface:{tmp_path / 'saved'}", on_unreadable="skip"), seed=0)
    assert source.skipped == ("image 1", "image 2")


def test_an_image_may_be_a_file_beside_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(png(PIXELS[0])["bytes"])
    rows = [{"image": {"bytes": None, "path": str(tmp_path / f"{number}.png")}} for number in range(2)]
    content = RowContent({"train": rows}, "image")
    assert content("train/0", "row") == png(PIXELS[0])["bytes"]
    with pytest.raises(UserError, match="row: no such file"):
        content("train/1", "row")


@NEEDS_DATASETS
def test_other_processes_read_rows_from_the_files(tmp_path: Path) -> None:
    import datasets

    whole = dataset()
    whole.save_to_disk(tmp_path / "saved")
    rows = datasets.load_from_disk(tmp_path / "saved").cast_column("image", datasets.Image(decode=False))
    packed = pickle.dumps(RowContent({"train": rows}, "image"))
    assert len(packed) < 5_000
    assert pickle.loads(packed)("train/4", "row") == png(PIXELS[4])["bytes"]


@NEEDS_DATASETS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {"train": d, "extra": d}, "splits must be train and, .*, got train, extra"),
        (lambda d: {"test": d}, "splits must be train and, .*, got test"),
        (lambda d: {"train": d, "val": d, "dev": d}, "must have one val split, got val and dev"),
        (lambda d: d.remove_columns("image"), "must have one column of images, got none among label"),
        (lambda d: d.map(lambda row: {"more": row["image"]}), "one column of images, got image, more"),
        (lambda d: d.remove_columns("label"), "must have one column of labels, got none among image"),
        (lambda d: {"train": d, "test": d.map(lambda row: {"label": -1})}, r"got -1 in row 0 of test \(and 5 more\)"),
        (lambda d: d.map(lambda row, i: {"label": None if i == 2 else 0}, with_indices=True), "none in 1 rows of"),
    ],
)
def test_unsuitable_datasets_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"huggingface:.*saved: .*{message}"):
        loaded(tmp_path, change(dataset()))


@NEEDS_DATASETS
def test_a_missing_dataset_is_reported_with_the_ways_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be loaded: .*local cache, a folder that .*, or connect"):
        load(data_params(source=f"huggingface:{tmp_path / 'nowhere'}"), seed=0)


@NEEDS_DATASETS
def test_attempts_to_reach_the_hub_are_not_reported_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from huggingface_hub.utils import logging as hub_logging

    def unreachable(name: str, configuration: str | None) -> None:
        warns = hub_logging.get_logger("huggingface_hub.utils._http").isEnabledFor(hub_logging.WARNING)
        raise ConnectionError(f"{name} cannot be reached{', and warnings are printed' if warns else ''}")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(UserError, match=r"cannot be loaded: somebody/mnist cannot be reached; pass .* or connect to"):
        load(data_params(source="huggingface:somebody/mnist"), seed=0)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="package datasets; install it with `make extras EXTRAS=huggingface`"):
        load(data_params(source="huggingface:mnist"), seed=0)
