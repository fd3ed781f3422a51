"""The stage prepare: splits, their description and their pictures."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import prepare
from pipeline.data.dataset import read_dataset
from pipeline.data.split import make_split, read_split, write_split
from pipeline.errors import UserError
from pipeline.evaluation.metrics import Predictions
from pipeline.plots.checks import draw_class_counts
from pipeline.plots.evaluation import draw_confusion, draw_mistakes
from pipeline.plots.figure import save_figure
from tests.pipeline.param_sections import data_params, params_with

NAMES = ("train", "val", "test")


def run(folder: Path, seed: int = 1, **changes: object) -> Path:
    prepare.run(
        params_with(data=data_params(**changes), seed=seed), prepare.Paths(folder / "prepared", folder / "reports")
    )
    return folder / "prepared"


def npz(folder: Path, images: np.ndarray, labels: np.ndarray, **more: np.ndarray) -> str:
    np.savez(folder / "mine.npz", x_train=images, y_train=labels, **more)
    return f"npz:{folder / 'mine.npz'}"


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4), dtype=np.uint8)


@pytest.mark.slow
def test_splits_are_stratified_disjoint_and_complete(tmp_path: Path) -> None:
    prepared = run(tmp_path)
    splits = {name: read_split(prepared / name, name) for name in NAMES}
    assert sum(len(split.labels) for split in splits.values()) == 1797
    for split in splits.values():
        shares = np.bincount(split.labels) / len(split.labels)
        assert shares.min() > 0.085
        assert shares.max() < 0.115
    assert read_dataset(prepared / "dataset.json").duplicates == {
        "train and val": 0,
        "train and test": 0,
        "val and test": 0,
    }


@pytest.mark.parametrize("given", [False, True])
def test_each_prepared_image_has_the_name_of_its_file(tmp_path: Path, given: bool) -> None:
    for split, seed in (("train", 0), ("test", 1)) if given else (("", 0),):
        for number, pixels in enumerate(noise(48, seed)):
            (folder := tmp_path / "images" / split / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    prepared = run(tmp_path, source=f"images:{tmp_path / 'images'}", limit=40)
    names: list[str] = []
    for name in NAMES:
        split = read_split(prepared / name, name)
        names += split.names
        for pixels, label, called in zip(split.images, split.labels, split.names, strict=True):
            assert np.array_equal(np.asarray(Image.open(tmp_path / "images" / called)), pixels[..., 0])
            assert Path(called).parent.name == "ab"[label]
    assert len(set(names)) == len(names) == (80 if given else 40)


def test_weights_of_a_manifest_follow_their_images_into_the_splits(tmp_path: Path) -> None:
    rows = []
    for number, pixels in enumerate(noise(48)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},person {number // 3},{number + 0.5}\n")
    (tmp_path / "mine.csv").write_text(f"path,label,group,weight\n{''.join(rows)}", encoding="utf-8")
    prepared = run(tmp_path, source=f"images:{tmp_path / 'mine.csv'}", limit=40)
    for name in ("train", "val"):
        split = read_split(prepared / name, name)
        assert split.weights is not None
        assert [f"{weight - 0.5:g}.png" for weight in split.weights] == list(split.names)
    weights = read_split(prepared / "train", "train").weights
    page = (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
    assert f"weights from {weights.min():g} to {weights.max():g}" in " ".join(page.split())
    assert not (prepared / "test" / "weights.npy").exists()


@pytest.mark.slow
@pytest.mark.parametrize("rarest", [6, 7, 10, 15])
def test_a_rare_class_gets_two_images_in_each_split_and_the_splits_stay_disjoint(tmp_path: Path, rarest: int) -> None:
    labels = np.repeat([0, 1, 2], [120, rarest, 60])
    prepared = run(tmp_path, source=npz(tmp_path, noise(len(labels)), labels), val_fraction=0.1, test_fraction=0.1)
    counts = read_dataset(prepared / "dataset.json").counts
    assert all(counts[split]["1"] >= 2 for split in NAMES)
    assert (counts["test"]["0"], counts["val"]["0"]) == (12, 11)  # common classes are split as without a rare class
    names = [name for split in NAMES for name in read_split(prepared / split, split).names]
    assert len(set(names)) == len(names) == len(labels)


def test_images_without_a_file_are_numbered_in_their_source(tmp_path: Path) -> None:
    pixels = noise(40)
    prepared = run(tmp_path, source=npz(tmp_path, pixels, np.arange(40) % 2))
    split = read_split(prepared / "test", "test")
    for image, name in zip(split.images, split.names, strict=True):
        origin, number = name.split()
        assert origin == "image"
        assert np.array_equal(image[..., 0], pixels[int(number)])


@pytest.mark.slow
def test_equal_seeds_produce_equal_bytes_and_other_seeds_other_splits(tmp_path: Path) -> None:
    def content(folder: str, seed: int) -> dict[str, bytes]:
        prepared = run(tmp_path / folder, seed)
        files = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        assert len(files) == 22
        assert prepared.is_dir()
        return {path.relative_to(tmp_path / folder).as_posix(): path.read_bytes() for path in files}

    one, same, other = content("one", 1), content("same", 1), content("other", 2)
    assert one == same
    assert one["prepared/test/images.npy"] != other["prepared/test/images.npy"]


@pytest.mark.slow
def test_dataset_json_describes_the_training_images(tmp_path: Path) -> None:
    prepared = run(tmp_path)
    dataset = read_dataset(prepared / "dataset.json")
    train = read_split(prepared / "train", "train")
    assert dataset.input_shape == (8, 8, 1)
    assert dataset.dtype == "uint8"
    assert dataset.mean == pytest.approx([train.images.mean()])
    assert dataset.std == pytest.approx([train.images.std()])
    assert dataset.counts["train"]["3"] == int((train.labels == 3).sum())
    assert dataset.digests["train"] == train.digest


def test_identical_images_in_two_splits_are_counted_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    images, labels = noise(40), np.arange(40) % 2
    source = npz(tmp_path, images, labels, x_test=images[:6], y_test=labels[:6])
    dataset = read_dataset(run(tmp_path, source=source) / "dataset.json")
    assert dataset.duplicates["train and test"] + dataset.duplicates["val and test"] == 6
    assert "6 samples are identical to an earlier one (6 of 6 groups across splits)" in capsys.readouterr().out
    assert sum(dataset.counts["test"].values()) == 6  # kept


def test_strict_findings_stop_the_stage_and_nothing_is_written(tmp_path: Path) -> None:
    images, labels = noise(40), np.arange(40) % 2
    images[7] = images[0]
    source = npz(tmp_path, images, labels)
    with pytest.raises(UserError) as caught:
        run(tmp_path / "out", source=source, strict=["label_conflicts"])
    assert "data.strict: the data must be free of label_conflicts" in str(caught.value)
    assert "image 7" in str(caught.value)
    assert not (tmp_path / "out" / "prepared").exists()
    run(tmp_path / "out", source=source, strict=["constant_samples"])
    metrics = json.loads((tmp_path / "out/reports/metrics.json").read_text())
    assert (metrics["exact_duplicates"], metrics["label_conflicts"]) == (1, 1)
    rows = (tmp_path / "out/reports/duplicates.csv").read_text().splitlines()
    assert {row.split(",")[2] for row in rows[1:]} == {"image 0", "image 7"}


def test_a_group_in_two_given_splits_stops_the_stage_unless_it_is_only_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = ["path,label,split,group"]
    for number, image in enumerate(noise(24)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},{'test' if number < 6 else 'train'},p{number % 23}")
    (tmp_path / "files.csv").write_text("\n".join(rows))
    source = f"images:{tmp_path / 'files.csv'}"
    leak = r"free of group_leakage, got\n.* 1 group is in several splits.*\n.*p0: train, test"
    with pytest.raises(UserError, match=leak):
        run(tmp_path / "out", source=source, color_mode="grayscale", image_size=None)
    run(tmp_path / "out", source=source, color_mode="grayscale", image_size=None, strict=[])
    assert "1 group is in several splits" in capsys.readouterr().out


def test_files_csv_lists_what_was_converted_skipped_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, pixels in enumerate(noise(24)):
        (folder := tmp_path / "images" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    Image.fromarray(noise(1)[0]).resize((6, 5)).convert("RGB").save(tmp_path / "images/a/00.png")
    (tmp_path / "images/b/01.png").write_bytes(b"GIF89a")
    run(tmp_path, source=f"images:{tmp_path / 'images'}", image_size=[4, 4], on_unreadable="skip", limit=22)
    files = tmp_path / "reports/files.csv"
    assert f"prepare: skipped 1 unreadable file, see {files}:\n  b/01.png\n" in capsys.readouterr().out
    with (tmp_path / "reports/files.csv").open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert len(rows) == 24
    changed, skipped = rows["a/00.png"], rows["b/01.png"]
    assert (changed["size"], changed["mode"], changed["format"]) == ("5×6", "RGB", "PNG")
    assert changed["converted"] == "RGB to L; resized to 4×4 (stretch)"
    assert (skipped["status"], skipped["class"], skipped["split"]) == ("skipped", "b", "")
    assert skipped["reason"].startswith("must be ")
    prepared = {name: split for split in NAMES for name in read_split(tmp_path / "prepared" / split, split).names}
    assert {name: row["split"] for name, row in rows.items() if row["status"] == "used"} == prepared
    assert sum(row["status"] == "limited" for row in rows.values()) == 1


def test_files_csv_lists_the_weights_of_a_manifest(tmp_path: Path) -> None:
    rows = ["path,label,weight"]
    for number, image in enumerate(noise(24)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},{1 + number / 4}")
    (tmp_path / "3.png").write_bytes(b"GIF89a")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    source = f"images:{tmp_path / 'list.csv'}"
    run(tmp_path, source=source, color_mode="grayscale", image_size=None, on_unreadable="skip")
    with (tmp_path / "reports/files.csv").open() as file:
        weights = {row["file"]: float(row["weight"]) for row in csv.DictReader(file)}
    assert weights == {f"{number}.png": 1 + number / 4 for number in range(24)}


@pytest.mark.slow
def test_the_test_images_of_a_source_become_the_test_split(tmp_path: Path) -> None:
    test = noise(8, seed=1)
    source = npz(tmp_path, noise(40), np.arange(40) % 2, x_test=test, y_test=np.arange(8) % 2)
    prepared = run(tmp_path, source=source)
    np.testing.assert_array_equal(read_split(prepared / "test", "test").images[..., 0], test)
    assert len(read_split(prepared / "val", "val").labels) == 10


@pytest.mark.slow
def test_limit_takes_a_stratified_sample(tmp_path: Path) -> None:
    dataset = read_dataset(run(tmp_path, limit=300) / "dataset.json")
    assert sum(sum(counts.values()) for counts in dataset.counts.values()) == 300
    assert min(dataset.counts["train"].values()) >= 17


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            np.where(np.arange(12 * 16).reshape(12, 4, 4) == 20, np.nan, 1.0),
            np.arange(12) % 2,
            "NaN or infinity in 1 of",
        ),
        (noise(12), np.full(12, -1), "labels must be consecutive from 0"),
        (noise(12), np.zeros(12, int), "at least two classes"),
        (noise(12), np.arange(10) % 2, "must have one label per sample"),
        (noise(12)[:, :, 0], np.arange(12) % 2, r"must have shape \(n, height, width, channels\)"),
        (noise(0), np.arange(0), "must contain samples, got none"),
        (noise(12), np.array([0] * 10 + [1] * 2), "'1' has"),
        (noise(12), np.array([0, 2] * 6), "labels must be consecutive from 0, got 2 labels from 0 to 2 without 1"),
        (noise(4), np.array([0, 1] * 2), "at least 6 samples to be distributed"),
    ],
)
def test_invalid_data_are_refused_without_writing_anything(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, message: str
) -> None:
    source = npz(tmp_path, images, labels)
    with pytest.raises(UserError, match=message):
        run(tmp_path / "out", source=source)
    assert not list(tmp_path.glob("out/*"))


def refused(folder: Path, source: str, **changes: object) -> str:
    with pytest.raises(UserError) as caught:
        run(folder / "out", source=source, **changes)
    return str(caught.value)


def test_labels_outside_the_given_classes_are_refused(tmp_path: Path) -> None:
    source = npz(tmp_path, noise(12), np.arange(12) % 3, classes=np.array(["a", "b"]))
    assert "labels must be from 0 to 1, got 2 at index 2 (and 3 more)" in refused(tmp_path, source)


def test_splits_of_two_types_are_refused(tmp_path: Path) -> None:
    labels = np.arange(40) % 2
    source = npz(tmp_path, noise(40), labels, x_test=noise(40) / 255, y_test=labels)
    assert "the same dtype, got uint8 in train, float32 in test" in refused(tmp_path, source)


def test_duplicate_class_names_are_refused(tmp_path: Path) -> None:
    source = npz(tmp_path, noise(60), np.arange(60) % 3, classes=np.array(["a", "a", "b"]))
    assert "class names must be unique, got 'a' more than once" in refused(tmp_path, source)


def test_of_many_classes_with_too_few_images_only_the_first_are_listed(tmp_path: Path) -> None:
    printed = refused(tmp_path, npz(tmp_path, noise(400), np.arange(400) % 200))
    assert "'9' has 2 (and 190 more); add samples" in printed
    assert "'10' has" not in printed


def test_the_limit_is_mentioned_only_if_it_is_set(tmp_path: Path) -> None:
    source = npz(tmp_path, noise(40), np.arange(40) % 2)
    assert "increase data.limit, which is 6" in refused(tmp_path, source, limit=6)
    assert "data.limit" not in refused(tmp_path, npz(tmp_path, noise(4), np.arange(4) % 2))


def test_a_fraction_is_reported_as_it_was_given(tmp_path: Path) -> None:
    source = npz(tmp_path, noise(40), np.arange(40) % 2)
    assert "a val split of 0.001: " in refused(tmp_path, source, val_fraction=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_any_number_of_channels_can_be_drawn(tmp_path: Path, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 4, 4, channels), dtype=np.uint8)
    run(tmp_path, source=npz(tmp_path, pixels, np.arange(40) % 2))
    predictions = Predictions(np.tile([0.9, 0.1], (40, 1)), np.arange(40) % 2)
    save_figure(draw_mistakes(pixels, predictions, ("a", "b"), 10), tmp_path / "mistakes.png")
    with Image.open(tmp_path / "mistakes.png") as picture:
        assert picture.size > (300, 300)


@pytest.mark.slow
def test_pictures_of_many_classes_have_a_bounded_size(tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(400))
    predictions = Predictions(np.eye(400), np.arange(400))
    save_figure(draw_confusion(predictions, classes), tmp_path / "confusion.png")
    save_figure(draw_class_counts({"train": np.full(400, 3)}, classes), tmp_path / "balance.png")
    for name in ("confusion", "balance"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert max(picture.size) < 2000


@pytest.mark.slow
def test_a_failed_run_keeps_the_output_of_an_earlier_run(tmp_path: Path) -> None:
    prepared = run(tmp_path)
    with pytest.raises(UserError):
        run(tmp_path, source="images:/nowhere")
    assert read_dataset(prepared / "dataset.json").name == "digits"


def test_a_split_is_read_under_its_own_name_only(tmp_path: Path) -> None:
    write_split(make_split("test", noise(4)[..., None], np.array([0, 1, 0, 1])), tmp_path / "split")
    with pytest.raises(UserError, match="must contain the train split, got the test split"):
        read_split(tmp_path / "split", "train")


@pytest.mark.parametrize("damage", ["images.npy", "labels.npy", "split.json"])
def test_a_damaged_split_is_reported(tmp_path: Path, damage: str) -> None:
    write_split(make_split("val", noise(4)[..., None], np.array([0, 1, 0, 1])), tmp_path / "split")
    (tmp_path / "split" / damage).write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match="--force prepare"):
        read_split(tmp_path / "split", "val")
    (tmp_path / "split" / damage).unlink()
    with pytest.raises(UserError, match=rf"{damage}: .*no (such )?file; run `dvc repro --force prepare`"):
        read_split(tmp_path / "split", "val")


def test_sources_outside_data_raw_are_reported_as_not_tracked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run(tmp_path, source=npz(tmp_path, noise(40), np.arange(40) % 2))
    assert "DVC does not detect changes" in capsys.readouterr().out


@pytest.mark.slow
def test_dataset_json_contains_no_path(tmp_path: Path) -> None:
    prepared = run(tmp_path, source=npz(tmp_path, noise(40), np.arange(40) % 2))
    assert str(tmp_path) not in (prepared / "dataset.json").read_text()
    assert json.loads((prepared / "dataset.json").read_text())["name"] == "mine"


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_any_class_name_can_be_drawn(tmp_path: Path) -> None:
    names = ("$a$", "$a_{", "三", 'a | b, "c"', "<b>&amp;", "ü" * 60)
    for name in names:
        (tmp_path / "images" / name).mkdir(parents=True)
        for number, pixels in enumerate(noise(30)):
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    prepared = run(tmp_path / "out", source=f"images:{tmp_path / 'images'}")
    assert set(read_dataset(prepared / "dataset.json").classes) == set(names)
