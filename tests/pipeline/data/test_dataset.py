"""The metadata of a prepared dataset."""

import json
from pathlib import Path

import pytest

from pipeline.data.dataset import Dataset, read_dataset, write_dataset
from pipeline.errors import UserError

SERIES = Dataset(
    name="beats",
    kind="series",
    input_shape=(150, 1),
    dtype="float32",
    classes=("normal", "abnormal"),
    counts={"train": {"normal": 2, "abnormal": 2}},
    mean=(0.5,),
    std=(0.25,),
    digests={},
    duplicates={},
    skipped=(),
)


def test_the_kind_of_the_samples_is_kept(tmp_path: Path) -> None:
    write_dataset(SERIES, tmp_path / "dataset.json")
    assert read_dataset(tmp_path / "dataset.json") == SERIES


def test_a_dataset_of_an_earlier_version_contains_images(tmp_path: Path) -> None:
    content = SERIES.model_dump(mode="json")
    del content["kind"]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert read_dataset(tmp_path / "dataset.json").kind == "image"


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(SERIES.model_dump(mode="json") | {"kind": "table"}))
    with pytest.raises(UserError, match=r"kind.*'image', 'series', 'audio' or 'volume'"):
        read_dataset(tmp_path / "dataset.json")
