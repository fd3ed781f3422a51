"""The findings of datasets with one known defect each."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.checks.files import summarize_files, with_split, write_files
from pipeline.checks.findings import check_strict, findings
from pipeline.decoding.file_record import FileRecord
from pipeline.errors import UserError
from tests.pipeline.checks.images import found_ids, measured, smooth_images, split_up


def test_independent_images_have_no_findings() -> None:
    assert found_ids(split_up(smooth_images(400))) == {}


def test_identical_samples_are_counted_within_and_across_splits() -> None:
    images = smooth_images(80)
    images[1] = images[2] = images[0]  # in train; the classes differ, see below
    images[79] = images[4]
    found = found_ids(split_up(images, [0] * 80), classes=("cat",))
    assert found["exact_duplicates"].count == 3
    assert found["exact_duplicates"].summary == (
        "3 samples are identical to an earlier one (1 of 2 groups across splits)"
    )
    assert found["exact_duplicates"].items == (
        "train 0 (train, cat), train 1 (train, cat), train 2 (train, cat)", "train 4 (train, cat), test 19 (test, cat)"
    )  # fmt: skip
    assert "near_duplicates" not in found
    assert "label_conflicts" not in found


def test_the_same_content_with_two_classes_is_a_conflict() -> None:
    images = smooth_images(80)
    images[1] = images[0]
    images[50] = np.clip(images[3] * 0.9 + 9, 0, 255)
    found = found_ids(split_up(images))
    assert found["near_duplicates"].count == 1
    assert found["label_conflicts"].count == 2
    assert found["label_conflicts"].summary == (
        "1 group of identical samples and 1 pair of near duplicates have several classes"
    )
    assert found["label_conflicts"].items[1] == "train 3 (train, dog), val 10 (val, cat)"


def test_pairs_that_were_not_compared_are_counted() -> None:
    copies = np.repeat(smooth_images(1), 330, axis=0)
    copies[:, 0, 0, 0] = np.arange(330) % 256  # differ in two values
    copies[:, 0, 1, 0] = np.arange(330) // 256
    found = found_ids(split_up(copies))["near_duplicates"]
    assert found.summary.endswith("; 4,285 less similar pairs were not compared")  # of 330 × 329 / 2


def test_constant_samples_are_named_and_nothing_else() -> None:
    images = smooth_images(400)
    images[7], images[9] = 255, 255
    found = found_ids(split_up(images))
    assert found["constant_samples"].items == ("train 7 (train, dog)", "train 9 (train, dog)")
    assert set(found) == {"constant_samples", "exact_duplicates"}


def test_a_group_in_two_splits_is_a_leak() -> None:
    groups = {"train": ["anna", "ben"] * 20, "val": ["carl"] * 20, "test": ["ben"] * 20}
    found = found_ids(split_up(smooth_images(80)), groups=groups)
    assert found["group_leakage"].items == ("ben: train, test",)


def test_an_unbalanced_training_split_is_reported_with_its_ratio() -> None:
    labels = [0] * 160 + [1] * 40 + [0, 1] * 100
    found = found_ids(split_up(smooth_images(400), labels))
    assert "the largest class, cat (160), has 4.0 times as many training samples as the smallest, dog (40)" in (
        found["class_imbalance"].summary
    )
    assert found["drift"].summary.endswith("val in classes (distance 0.30); test in classes (distance 0.30)")


def test_noise_among_smooth_images_is_an_outlier() -> None:
    images = smooth_images(400)
    images[310] = np.random.default_rng(0).integers(0, 256, images[310].shape)
    found = found_ids(split_up(images))
    assert found["outliers"].count == 1
    assert found["outliers"].items[0].startswith("test 10 (test, cat): roughness ")
    assert found["outliers"].items[0].endswith(" robust standard deviations above the median")


def test_a_darker_test_split_is_drift() -> None:
    parts = split_up(smooth_images(800))
    parts["test"] = (np.asarray(parts["test"][0] // 2), parts["test"][1])
    summary = found_ids(parts)["drift"].summary
    assert "test in mean (distance 1.00)" in summary
    assert "val" not in summary


def test_rounding_errors_of_standardized_samples_are_neither_outliers_nor_drift() -> None:
    series = smooth_images(400, (60,)).astype(np.float64)
    series = (series - series.mean(axis=1, keepdims=True)) / series.std(axis=1, keepdims=True)
    series[200:] += 1e-6
    assert found_ids(split_up(series.astype(np.float32))) == {}


def test_permuted_pixels_are_not_a_grid() -> None:
    images = smooth_images(400)
    order = np.random.default_rng(0).permutation(24 * 24)
    permuted = images.reshape(400, -1)[:, order].reshape(images.shape)
    assert "as that of the columns of a table" in found_ids(split_up(permuted))["not_a_grid"].summary


def test_strict_findings_are_an_error_that_lists_at_most_20_items() -> None:
    images = smooth_images(120)
    images[30:60] = images[:30]
    found = findings(measured(split_up(images)))
    check_strict(found, ("constant_samples", "label_conflicts"))
    with pytest.raises(UserError, match=r"data\.strict: the data must be free of exact_duplicates, got\n") as caught:
        check_strict(found, ("exact_duplicates", "constant_samples"))
    lines = str(caught.value).splitlines()
    assert lines[1] == "  exact_duplicates: 30 samples are identical to an earlier one"
    assert lines[2] == "    train 0 (train, cat), train 30 (train, cat)"
    assert lines[22] == "    … and 10 more"
    assert lines[-1].startswith("  correct the data, or remove the ids from data.strict")


def test_files_are_counted_and_listed_with_their_split(tmp_path: Path) -> None:
    records = [
        FileRecord("cat/a.png", "cat", "used", (20, 30), "L", "PNG", ("resized to 24×24",)),
        FileRecord("cat/b.jpg", "cat", "used", (24, 24), "RGB", "JPEG"),
        FileRecord("dog/c, d.png", "dog", "skipped", reason="cannot be decoded"),
        FileRecord("dog/e.png", "dog", "used", (24, 24), "L", "PNG"),
    ]
    placed = with_split(records, {"train": ["cat/a.png"], "val": [], "test": ["dog/e.png"]})
    summary = summarize_files(placed)
    assert summary.status == {"used": 2, "skipped": 1, "limited": 1}
    found = found_ids(split_up(smooth_images(80)), files=summarize_files([(record, "train") for record in records]))
    assert found["unreadable"].summary == "1 of 4 files is not readable and was skipped"
    assert found["unreadable"].items == ("dog/c, d.png: cannot be decoded",)
    assert found["mixed_modes"].summary == "the files have 2 modes: L (2), RGB (1)"
    assert found["resized"].summary == "1 of 3 files was resized, from 24×24 (2), 20×30 (1)"
    write_files(placed, tmp_path / "files.csv")
    assert (tmp_path / "files.csv").read_text(encoding="utf-8").splitlines() == [
        "file,split,class,status,size,mode,format,converted,reason",
        "cat/a.png,train,cat,used,20×30,L,PNG,resized to 24×24,",
        "cat/b.jpg,,cat,limited,24×24,RGB,JPEG,,",
        '"dog/c, d.png",,dog,skipped,,,,,cannot be decoded',
        "dog/e.png,test,dog,used,24×24,L,PNG,,",
    ]


def test_a_file_with_several_samples_is_listed_with_their_splits() -> None:
    records = [FileRecord("cat/a.wav", "cat"), FileRecord("cat/b (1).wav", "cat"), FileRecord("cat/c.wav", "cat")]
    names = {"train": ["cat/a.wav (1)", "cat/a.wav (2)", "cat/b (1).wav"], "val": ["cat/a.wav (3)"], "test": []}
    assert [(record.status, split) for record, split in with_split(records, names)] == [
        ("used", "train, val"), ("used", "train"), ("limited", "")
    ]  # fmt: skip
