"""`init`, from data to a valid params.yaml."""

import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides
from PIL import Image
from ruamel.yaml import YAML

from pipeline import prepare
from pipeline.data.dataset import read_dataset
from pipeline.errors import UserError
from pipeline.init.__main__ import main
from pipeline.init.archive import unpack
from pipeline.init.document import as_dvc_writes
from pipeline.init.run import run
from pipeline.sections.load import load_params
from pipeline.surveys.image_survey import has_colour, shrunk
from pipeline.surveys.mirroring import SIDE, compare_mirrored

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "params.yaml"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(SHIPPED.read_text())
    return tmp_path


def images(folder: Path, colour: bool = True, count: int = 20, size: tuple[int, int] = (20, 16)) -> Path:
    """Write two classes that differ in brightness; `size` is width and height."""
    random = np.random.default_rng(0)
    for label, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(100 * label, 100 * label + 100, (size[1], size[0], 3 if colour else 1), np.uint8)
            image = Image.fromarray(pixels if colour else np.repeat(pixels, 3, axis=2))
            image.save(folder / name / f"{number}.png")
    return folder


def test_a_folder_of_images_results_in_a_valid_params_file(project: Path) -> None:
    images(project / "data/raw/mine")
    run("data/raw/mine", Path("params.yaml"))
    params = load_params(Path("params.yaml"))
    assert params.data.source == "images:data/raw/mine"
    assert params.data.image_size == (16, 20)
    assert params.data.color_mode == "rgb"
    assert params.register_.name == "mine"


def test_idx_files_are_recognized_by_their_names(project: Path) -> None:
    digits = np.random.default_rng(0).integers(0, 256, (60, 12, 12), dtype=np.uint8)
    labels = (np.arange(60) % 3).astype(np.uint8)
    for split in ("train", "t10k"):
        images_name, labels_name = f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"
        (folder := project / "idx").mkdir(exist_ok=True)
        (folder / images_name).write_bytes(struct.pack(">IIII", 0x803, 60, 12, 12) + digits.tobytes())
        (folder / labels_name).write_bytes(struct.pack(">II", 0x801, 60) + labels.tobytes())
    run("idx", Path("params.yaml"))
    params = load_params(Path("params.yaml"))
    assert params.data.source == "idx:idx"
    prepare.run(params, prepare.Paths(Path("prepared"), Path("reports")))
    assert read_dataset(Path("prepared/dataset.json")).input_shape == (12, 12, 1)


def test_grey_files_with_three_channels_are_grayscale(project: Path) -> None:
    images(project / "grey", colour=False)
    run("grey", Path("params.yaml"))
    assert load_params(Path("params.yaml")).data.color_mode == "grayscale"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 4000, (0, 4095)), (1000, 1100, (1000, 1099)), (0, 65_000, None)]
)
def test_the_value_range_of_sixteen_bit_files_follows_from_their_values(
    project: Path, low: int, high: int, expected: tuple[int, int] | None
) -> None:
    for label in range(2):
        (folder := project / "deep" / f"class {label}").mkdir(parents=True)
        for number in range(12):
            pixels = np.linspace(low, high - 1, 144).round().astype(np.uint16).reshape(12, 12)
            Image.fromarray(np.roll(pixels, number + label, axis=0)).save(folder / f"{number}.png")
    run("deep", Path("params.yaml"))
    assert load_params(Path("params.yaml")).data.value_range == expected
    assert f"24 files with 16 bits per value use {low:,} to {high - 1:,}" in Path("params.yaml").read_text()
    run("digits", Path("params.yaml"))
    assert load_params(Path("params.yaml")).data.value_range is None


@pytest.mark.slow
@pytest.mark.parametrize("data", ["digits", "xo"])
def test_built_in_datasets_are_selected_by_name(project: Path, data: str) -> None:
    run(data, Path("params.yaml"))
    assert load_params(Path("params.yaml")).data.source == data


def test_a_manifest_of_images_is_accepted(project: Path) -> None:
    rows = []
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 12), np.uint8)
        Image.fromarray(pixels).save(f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},person {number // 4}\n")
    Path("list.csv").write_text(f"path,label,group\n{''.join(rows)}")
    run("list.csv", Path("params.yaml"))
    assert load_params(Path("params.yaml")).data.source == "images:list.csv"


def test_npz_arrays_are_accepted(project: Path) -> None:
    np.savez("mine.npz", x_train=np.zeros((40, 12, 12), np.uint8), y_train=np.arange(40) % 2)
    run("mine.npz", Path("params.yaml"))
    assert load_params(Path("params.yaml")).data.source == "npz:mine.npz"


@pytest.mark.slow
def test_the_demanded_minutes_are_measured_and_named_in_the_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("digits", Path("params.yaml"))
    usual = load_params(Path("params.yaml")).training.epochs
    run("digits", Path("params.yaml"), minutes=30.0)
    assert load_params(Path("params.yaml")).training.epochs > usual
    assert "# Written by `fovea init --data digits --minutes 30` from the data" in Path("params.yaml").read_text()
    assert "the planned training runs take about" in capsys.readouterr().out


@pytest.mark.parametrize("minutes", ["0", "-5", "nan", "inf", "ten", "1e9", ""])
def test_impossible_minutes_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], minutes: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["init", "--data", "digits", f"--minutes={minutes}"])
    with pytest.raises(SystemExit):
        main()
    assert f"must be a number of minutes from 1 to 10,000, got '{minutes}'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("example", ["digits", "image_folder", "solids", "fashion_mnist"])
def test_the_examples_equal_the_output_of_init(project: Path, example: str) -> None:
    """Compare only the values: the comments contain figures that depend on the processor."""
    fashion = "/usr/share/datasets/fashion-mnist"
    data = {"image_folder": "data/raw/shapes", "solids": "data/raw/solids", "fashion_mnist": fashion}
    if script := {"image_folder": "small_sets.py", "solids": "solids.py"}.get(example):
        draw = [sys.executable, ROOT / "benchmarks" / script, data[example]]
        subprocess.run(draw, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    run(data.get(example, example), Path("params.yaml"))
    written = YAML(typ="safe").load(Path("params.yaml"))
    assert YAML(typ="safe").load(ROOT / f"examples/{example}.yaml") == written


def test_the_file_is_formatted_as_by_dvc_and_keeps_the_order_of_sections(project: Path) -> None:
    run("digits", Path("params.yaml"))
    text = Path("params.yaml").read_text()
    assert as_dvc_writes(text) == text
    keys = [line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    assert keys == [line.partition(":")[0] for line in SHIPPED.read_text().splitlines() if line[:1].isalpha()]


@pytest.mark.slow
def test_the_same_data_produce_the_same_bytes(project: Path) -> None:
    run("digits", Path("params.yaml"))
    first = Path("params.yaml").read_bytes()
    run("digits", Path("params.yaml"))
    assert Path("params.yaml").read_bytes() == first
    assert not Path("params.2.yaml").exists()


def test_the_replaced_file_is_kept_as_a_backup(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = SHIPPED.read_text().replace("seed: 1 ", "seed: 7 ")
    Path("params.yaml").write_text(edited)
    run("digits", Path("params.yaml"))
    assert Path("params.1.yaml").read_text() == edited
    assert load_params(Path("params.yaml")).seed == 7, "settings that do not depend on the data are kept"
    assert "params.1.yaml" in capsys.readouterr().out


def test_few_images_are_reported_and_the_next_command_is_printed_last(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(project / "mine")
    run("mine", Path("params.yaml"))
    printed = capsys.readouterr().out
    assert "val has only 8 images: one image changes the accuracy by 12.5 percentage points" in printed
    assert printed.splitlines()[-1].endswith("next: fovea run")


@pytest.mark.parametrize("given", ["nowhere", "", " "])
def test_a_missing_path_is_refused_with_the_supported_inputs(project: Path, given: str) -> None:
    with pytest.raises(UserError, match="no such file or folder; pass a folder with one subfolder"):
        run(given, Path("params.yaml"))
    assert Path("params.yaml").read_text() == SHIPPED.read_text()


def test_too_few_images_are_refused_with_the_name_of_the_class(project: Path) -> None:
    images(project / "mine")
    for path in list((project / "mine/light").iterdir())[:15]:
        path.unlink()
    with pytest.raises(UserError, match=r"needs at least 6 images, 2 for each of train, val, test, got 5 of 'light'"):
        run("mine", Path("params.yaml"))


def test_files_of_another_kind_in_a_class_are_named(project: Path) -> None:
    images(project / "mine")
    for path in list((project / "mine/light").iterdir()):
        path.with_suffix(".wav").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
        path.unlink()
    with pytest.raises(
        UserError, match=r"got 0 of 'light' \(20 inspected files are not readable images: light/.*wav, …"
    ):
        run("images:mine", Path("params.yaml"))


def test_unreadable_files_are_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images(project / "mine")
    (project / "mine/light/broken.png").write_bytes(b"no image")
    run("mine", Path("params.yaml"))
    line = "init: 1 of 41 inspected files cannot be read: light/broken.png; they are skipped (data.on_unreadable: skip)"
    printed = capsys.readouterr().out
    assert line in printed
    assert "init: 40 images of 2 classes; " in printed
    assert "init: the registered model is now named mine, previously fovea" in printed
    assert "  # 1 of 41 inspected files cannot be read: light/broken.png." in Path("params.yaml").read_text()


def test_a_folder_of_other_files_than_images_is_refused(project: Path) -> None:
    for folder in images(project / "texts").iterdir():
        for number in range(30):
            (folder / f"{number}.txt").write_text("text")
    with pytest.raises(UserError, match="not readable images; pass the folder that contains the images"):
        run("texts", Path("params.yaml"))


def test_floating_point_files_need_a_range_which_is_kept(project: Path) -> None:
    for name in ("a", "b"):
        (project / "floats" / name).mkdir(parents=True)
        for number in range(20):
            values = np.full((12, 20), number / 20, np.float32)
            Image.fromarray(values).save(project / "floats" / name / f"{number:02}.tif")
    reason = r"none of the 40 .*; the first one: .*00\.tif: has floating-point values from 0 .*set data\.value_range"
    with pytest.raises(UserError, match=reason):
        run("floats", Path("params.yaml"))
    apply_overrides(Path("params.yaml"), ["data.value_range=[0.0,2.0]"])
    run("floats", Path("params.yaml"))
    assert load_params(Path("params.yaml")).data.value_range == (0.0, 2.0)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_an_archive_is_unpacked_into_data_raw(project: Path, ending: str) -> None:
    folder = images(project / "outside/flowers")
    archive = project / f"photos.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for path in folder.rglob("*.png"):
                zipped.write(path, path.relative_to(folder.parent))
    else:
        with tarfile.open(archive, "w:gz" if ending == "tar.gz" else "w") as packed:
            packed.add(folder, "flowers")
    run(str(archive), Path("params.yaml"))
    assert load_params(Path("params.yaml")).data.source == "images:data/raw/photos"
    assert len(list(Path("data/raw/photos/dark").iterdir())) == 20


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_damaged_archive_is_detected_and_leaves_no_files(tmp_path: Path, ending: str) -> None:
    images(tmp_path / "mine", count=30)
    archive = tmp_path / f"mine.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path in sorted((tmp_path / "mine").rglob("*.png")):
                packed.write(path, path.relative_to(tmp_path))
    else:
        with tarfile.open(archive, f"w:{ending.partition('.')[2]}") as packed_tar:
            packed_tar.add(tmp_path / "mine", "mine")
    whole = archive.read_bytes()
    # In a plain tar file, damage a header: the content of members has no checksum.
    place = whole.rindex(b"mine/light/17.png") if ending == "tar" else len(whole) // 2
    archive.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    with pytest.raises(UserError, match="truncated, damaged or encrypted"):
        unpack(archive, tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
    archive.write_bytes(whole)
    assert len(list(unpack(archive, tmp_path / "raw").rglob("*.png"))) == 60


def test_a_different_archive_with_the_same_name_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        images(tmp_path / f"mine{number}", count=5 * number)
        (tmp_path / str(number)).mkdir()
        with tarfile.open(tmp_path / str(number) / "photos.tar", "w") as packed:
            packed.add(tmp_path / f"mine{number}", "mine")
    first = unpack(tmp_path / "1/photos.tar", tmp_path / "raw")
    assert unpack(tmp_path / "1/photos.tar", tmp_path / "raw") == first
    with pytest.raises(UserError, match="which already contains other files; move that folder"):
        unpack(tmp_path / "2/photos.tar", tmp_path / "raw")


def test_tiny_images_and_unknown_sources_are_refused(project: Path) -> None:
    images(project / "tiny", size=(1, 1))
    with pytest.raises(UserError, match="images of 1×1 are too small for a network"):
        run("tiny", Path("params.yaml"))
    with pytest.raises(UserError, match=r"--data: .*source"):
        run("keras:evil", Path("params.yaml"))


def test_a_given_split_without_images_of_a_class_is_refused(project: Path) -> None:
    images(project / "given/train")
    images(project / "given/test")
    for path in (project / "given/test/light").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"each class needs at least 2 images in test, got 0 of 'light'"):
        run("given", Path("params.yaml"))


@pytest.mark.slow
def test_a_rare_class_does_not_reduce_the_training_images_of_others(project: Path) -> None:
    images(project / "rare", count=60)
    for number in range(7, 60):
        (project / f"rare/light/{number}.png").unlink()
    run("rare", Path("params.yaml"))
    prepare.run(load_params(Path("params.yaml")), prepare.Paths(Path("prepared"), Path("reports")))
    counts = read_dataset(Path("prepared/dataset.json")).counts
    assert [counts[split]["light"] for split in ("train", "val", "test")] == [3, 2, 2]
    assert counts["train"]["dark"] > 30


def test_a_name_that_yaml_cannot_represent_is_escaped(project: Path) -> None:
    images(project / "ring\x07 \u2028ring")
    run("ring\x07 \u2028ring", Path("params.yaml"))
    assert load_params(Path("params.yaml")).data.source == "images:ring\x07 \u2028ring"


def test_compression_does_not_make_a_grey_image_coloured() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(grey).convert("RGB").save(stream, "JPEG")
    assert not has_colour(np.asarray(Image.open(stream)))
    assert has_colour(np.full((8, 8, 3), (200, 40, 40), np.uint8))


def test_images_that_all_point_to_one_side_may_be_mirrored() -> None:
    """A mirror image looks like no original, but is not mistaken for another class either."""
    pixels, labels = arrows(400, symmetric=False)
    left = pixels[labels == 0].copy()
    labels = np.arange(len(left)) % 2
    left[labels == 1, SIDE // 2 - 2 : SIDE // 2 + 2] = 0  # a gap along the middle is the other class
    for test in compare_mirrored(left, labels, 2, seed=1).values():
        assert test.conclusive
        assert test.keeps_class


def arrows(count: int, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
    """Triangles that point left or right, or up and down if `symmetric`."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    drawn = []
    for label in labels:
        wide = np.abs(np.arange(SIDE) - SIDE // 2)[:, None] * 2 <= np.arange(SIDE)[None]
        pixels = (wide[:, ::-1] if label else wide) * 180.0 + random.normal(0, 15, (SIDE, SIDE))
        image = np.clip(pixels.T if symmetric else pixels, 0, 255).astype(np.uint8)
        drawn.append(shrunk(image[..., np.newaxis]))
    return np.stack(drawn), labels


def test_mirroring_arrows_changes_their_class_along_one_axis_only() -> None:
    sideways = compare_mirrored(*arrows(200, symmetric=False), 2, seed=1)
    assert sideways["horizontal"].conclusive
    assert not sideways["horizontal"].keeps_class
    assert sideways["vertical"].keeps_class
    upright = compare_mirrored(*arrows(200, symmetric=True), 2, seed=1)
    assert upright["horizontal"].keeps_class
    assert not upright["vertical"].keeps_class
