"""The page about a dataset: what it contains for each kind of grid, and which files it writes."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.checks.files import FileSummary, summarize_files
from pipeline.checks.findings import findings
from pipeline.data.dataset import Kind
from pipeline.data_report.page import write_page
from pipeline.data_report.pictures import Samples
from pipeline.decoding.file_record import FileRecord
from tests.pipeline.checks.images import measured, smooth_images, split_up


def page(
    folder: Path,
    images: NDArray[np.generic],
    labels: list[int] | None = None,
    classes: tuple[str, ...] = ("cat", "dog"),
    groups: dict[str, list[str]] | None = None,
    files: FileSummary | None = None,
    weights: NDArray[np.float32] | None = None,
) -> str:
    parts = split_up(images, labels)
    found = measured(parts, classes=classes, groups=groups, files=files, weights=weights)  # type: ignore[arg-type]
    folder.mkdir()
    bounds = float(images.min()), float(images.max())
    kind: Kind = {2: "series", 3: "image", 4: "volume"}[images.ndim - 1]  # type: ignore[assignment]
    samples = Samples(lambda split, chosen: parts[split][0][chosen], bounds, kind)
    write_page("pets", found, findings(found), samples, folder)
    return (folder / "index.html").read_text(encoding="utf-8")


def keys(text: str) -> list[str]:
    return re.findall(r'<h2 id="(\w+)"', text)


@pytest.mark.parametrize(("grid", "channels"), [((60,), 2), ((20, 16), 3), ((8, 9, 7), 1)])
def test_each_kind_of_grid_has_a_page(tmp_path: Path, grid: tuple[int, ...], channels: int) -> None:
    images = smooth_images(120, grid, channels).astype(np.float32)
    images[61], images[70] = images[0], images[2] * 0.9 + 9
    text = page(tmp_path / "page", images)
    assert keys(text) == ["findings", "classes", "samples", "duplicates", "distribution", "grid"]
    assert len(re.findall(r"failed[^>]*>train, val<", text)) == 2
    assert {path.name for path in (tmp_path / "page").iterdir()} == {
        "index.html", "class_counts.png", "samples.png", "class_means.png", "exact_duplicates.png",
        "near_duplicates.png", "statistics.png",
    }  # fmt: skip


def test_the_page_states_that_nothing_was_found(tmp_path: Path) -> None:
    text = page(tmp_path / "page", smooth_images(400))
    assert "400 samples of 2 classes: train 200, val 100, test 100. The checks found nothing." in text
    assert "All classes have the same number of training samples." in text
    assert text.count("Nothing found") == 8
    assert text.count("Not measured: there are no files") == 3


def test_weights_have_a_sentence_and_a_share_of_each_class(tmp_path: Path) -> None:
    images = smooth_images(80)
    weights = np.where(np.arange(40) % 2 == 0, 0.5, 1.5).astype(np.float32)  # cats and dogs
    text = " ".join(page(tmp_path / "page", images, weights=weights).split())
    assert "The training samples have weights from 0.5 to 1.5" in text
    assert "share of its weight" in text
    assert "25.0%" in text
    assert "75.0%" in text
    assert "weights from" not in page(tmp_path / "without", images)


def test_files_and_groups_have_sections(tmp_path: Path) -> None:
    records = [
        FileRecord("cat/a.png", "cat", "used", (20, 30), "L", "PNG", ("resized to 24×24 (stretch)",)),
        FileRecord("dog/<b>.png", "dog", "skipped", reason="cannot be decoded"),
    ]
    groups = {"train": ["anna"] * 60, "val": ["ben"] * 30, "test": ["anna"] * 30}
    files = summarize_files([(record, "train") for record in records])
    text = page(tmp_path / "page", smooth_images(120), groups=groups, files=files)
    assert keys(text) == ["findings", "classes", "samples", "files", "duplicates", "groups", "distribution", "grid"]
    assert "dog/&lt;b&gt;.png" in text
    assert "resized to 24×24 (stretch)" in text
    assert "1 group is in several" in text


def test_names_are_shown_as_text(tmp_path: Path) -> None:
    text = page(tmp_path / "page", smooth_images(80), classes=("<script>alert(1)</script>", "$x^2$"))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_outliers_and_an_unbalanced_split_are_shown(tmp_path: Path) -> None:
    images = smooth_images(400)
    images[310] = np.random.default_rng(0).integers(0, 256, images[310].shape)
    images[7] = 3
    text = page(tmp_path / "page", images, [0] * 160 + [1] * 40 + [0, 1] * 100)
    assert "The largest class of the training split, cat, has 4.0 times as many samples as the smallest" in text
    assert (tmp_path / "page/outliers.png").is_file()
    assert "Samples with a single value everywhere (1) are not counted" in text


def test_equal_data_have_equal_pages(tmp_path: Path) -> None:
    images = smooth_images(80)
    assert page(tmp_path / "one", images) == page(tmp_path / "two", images)


def test_many_classes_are_cut(tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(150))
    text = page(tmp_path / "page", smooth_images(600, (8, 8)), [number % 150 for number in range(600)], classes)
    assert "130 more classes are not shown." in text


def test_permuted_pixels_are_explained(tmp_path: Path) -> None:
    images = smooth_images(400)
    permuted = images.reshape(400, -1)[:, np.random.default_rng(0).permutation(24 * 24)].reshape(images.shape)
    assert "a method for tables, such as gradient-boosted trees, fits better" in page(tmp_path / "page", permuted)


@pytest.mark.parametrize("grid", [(1, 300), (300, 1), (4, 4)])
def test_samples_of_any_shape_and_any_number_of_channels_are_shown(tmp_path: Path, grid: tuple[int, int]) -> None:
    for channels in (3, 5):
        assert "samples" in keys(page(tmp_path / str(channels), smooth_images(40, grid, channels)))
