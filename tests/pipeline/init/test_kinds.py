"""`init` recognizes every kind of source, and what it writes for it can be prepared."""

import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides
from PIL import Image

from pipeline import prepare
from pipeline.data.dataset import Dataset, read_dataset
from pipeline.errors import UserError
from pipeline.init.run import run
from pipeline.sections import Params
from pipeline.sections.load import load_params
from pipeline.signals.recording import wav_bytes
from tests.installed import NEEDS_DATASETS, NEEDS_SOUNDFILE, NEEDS_ZARR

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = np.random.default_rng(0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def initialized(given: str) -> Params:
    run(given, Path("params.yaml"))
    return load_params(Path("params.yaml"))


def prepared(params: Params) -> Dataset:
    prepare.run(params, prepare.Paths(Path("prepared"), Path("reports")))
    return read_dataset(Path("prepared/dataset.json"))


def write_files(folder: Path, count: int, content: Callable[[int, int], bytes], name: str) -> None:
    """Write `count` files of each of two classes; `name` contains the number of the file."""
    for label in range(2):
        for number in range(count):
            path = folder / "ab"[label] / name.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(label, number))


def csv(length: int, channels: int = 2, step: float | None = None, gap: bool = False) -> bytes:
    """A series with columns of names and, with `step`, of time stamps."""
    rows = NUMBERS.normal(size=(length, channels)).round(3).astype(str).tolist()
    if gap:
        rows[3][0] = ""
    header = [f"c{channel}" for channel in range(channels)]
    if step is not None:
        rows = [[f"{number * step:.6f}", *row] for number, row in enumerate(rows)]
        header = ["time", *header]
    return "\n".join(",".join(row) for row in [header, *rows]).encode()


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def smooth(*shape: int) -> np.ndarray:
    """Noise that is smooth along all axes but the first."""
    values = NUMBERS.normal(size=shape)
    for axis in range(1, len(shape)):
        for _ in range(3):
            values = values + np.roll(values, 1, axis)
    return values.astype(np.float32)


def tone(label: int, seconds: float, rate: int = 8000, hertz: float = 300) -> bytes:
    time = np.arange(round(seconds * rate)) / rate
    sound = 0.3 * np.sin(2 * np.pi * hertz * (label + 1) * time) + NUMBERS.normal(0, 0.01, len(time))
    return wav_bytes(sound.astype(np.float32), rate)


def test_csv_series_of_different_lengths_are_padded(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(project / "motion", 8, lambda label, number: csv(30 + number, gap=number == 2), "{}.csv")
    params = initialized("motion")
    assert params.data.source == "series:motion"
    assert (params.data.series.window, params.data.series.lengths, params.data.series.missing) == (
        None, "pad", "interpolate",
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "init: 16 of 16 inspected files are series of numbers: read as series:motion; for another kind" in printed
    assert "init: 16 series of 2 classes; train 7, val 5, test 4" in printed
    dataset = prepared(params)
    assert (dataset.kind, dataset.input_shape) == ("series", (37, 2))


def test_long_series_of_groups_and_rates_become_windows_of_one_rate(project: Path) -> None:
    write_files(
        project / "motion", 4, lambda label, number: csv(2100, 1, 0.02 if number else 0.01), "person {}/walk.csv"
    )
    write_files(project / "motion", 4, lambda label, number: csv(600, 1, 0.02), "person {}/run.csv")
    params = initialized("series:motion")
    series = params.data.series
    assert (series.window, series.hop, series.rate, series.split_by) == (256, 128, 50.0, "group")
    assert "windows, from 16 files" in Path("params.yaml").read_text()
    dataset = prepared(params)
    assert dataset.input_shape == (256, 1)
    assert sum(sum(counts.values()) for counts in dataset.counts.values()) > 100


def test_one_long_series_per_class_is_divided_in_time(project: Path) -> None:
    write_files(project / "machines", 1, lambda label, number: csv(8000, 1), "{}.csv")
    params = initialized("machines")
    assert (params.data.series.split_by, params.data.series.window) == ("time", 256)
    assert prepared(params).input_shape == (256, 1)


def test_ts_files_keep_their_splits(project: Path) -> None:
    (project / "Motion").mkdir()
    for split, count in {"TRAIN": 12, "TEST": 4}.items():
        cases = [",".join(map(str, NUMBERS.normal(size=20).round(2))) + f":{number % 2}" for number in range(count)]
        header = ["@problemName Motion", "@classLabel true 0 1", "@data"]
        (project / f"Motion/Motion_{split}.ts").write_text("\n".join([*header, *cases]))
    params = initialized("Motion")
    assert params.data.source == "ts:Motion"
    assert params.model.head.kind == "flatten", "the series are short"
    dataset = prepared(params)
    assert (dataset.kind, dataset.input_shape) == ("series", (20, 1))
    assert sum(dataset.counts["test"].values()) == 4
    assert initialized("Motion/Motion_TRAIN.ts").data.source == "ts:Motion/Motion_TRAIN.ts"


@NEEDS_SOUNDFILE
def test_short_recordings_are_one_piece_each(project: Path) -> None:
    write_files(project / "words", 8, lambda label, number: tone(label, 0.2 + 0.02 * number), "{}.wav")
    params = initialized("words")
    assert params.data.source == "audio:words"
    assert (params.data.audio.rate, params.data.audio.seconds, params.data.audio.bands) == (8000, 0.4, 40)
    dataset = prepared(params)
    assert (dataset.kind, dataset.input_shape) == ("audio", (38, 40, 1))


@NEEDS_SOUNDFILE
def test_long_recordings_are_cut_and_keep_the_frequencies_that_they_contain(project: Path) -> None:
    write_files(project / "bats", 6, lambda label, number: tone(label, 4.5, 44_100, 11_000), "{}.wav")
    params = initialized("bats")
    audio = params.data.audio
    assert (audio.rate, audio.seconds, audio.bands) == (44_100, 2.0, 64)
    assert "36 pieces, from 12 files of 2 classes, 18 of each" in Path("params.yaml").read_text()


def test_volumes_of_different_shapes_are_padded_with_their_background(project: Path) -> None:
    def volume(label: int, number: int) -> bytes:
        values = np.full((10 + number % 3, 10, 10), 60.0, np.float32)
        values[3:6, 3:6, 3:6] = 100 + 50 * label + NUMBERS.normal(size=(3, 3, 3))
        return npy(values)

    write_files(project / "scans", 8, volume, "{}.npy")
    params = initialized("scans")
    assert params.data.source == "volumes:scans"
    found = params.data.volume
    assert (found.shape, found.resize, found.fill) == ((11, 10, 10), "pad", 60.0)
    assert params.training.first_layer == "random"
    dataset = prepared(params)
    assert (dataset.kind, dataset.input_shape) == ("volume", (11, 10, 10, 1))


def test_large_volumes_are_reduced_along_their_longest_axes(project: Path) -> None:
    write_files(project / "scans", 6, lambda label, number: npy(np.zeros((20, 64, 60), np.uint8)), "{}.npy")
    params = initialized("scans")
    assert (params.data.volume.shape, params.data.volume.resize) == ((20, 40, 40), "stretch")


def test_numbered_images_may_be_slices_of_volumes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def image(label: int, number: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(NUMBERS.integers(0, 256, (12, 12, 3), np.uint8)).save(stream, "PNG")
        return stream.getvalue()

    for person in range(8):
        write_files(project / "scans", 8, image, f"person {person}/slice {{}}.png")
    assert initialized("scans").data.source == "images:scans"
    assert "the numbered files of each folder are the slices of a volume, pass --data volumes:scans" in (
        capsys.readouterr().out
    )
    params = initialized("volumes:scans")
    assert (params.data.volume.shape, params.data.color_mode) == ((8, 12, 12), "rgb")
    assert prepared(params).input_shape == (8, 12, 12, 3)


def test_what_was_assumed_about_arrays_is_printed_and_can_be_changed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("mine.npz", x_train=smooth(40, 28, 20), y_train=np.arange(40) % 2)
    params = initialized("mine.npz")
    assert (params.data.kind, params.model.blocks[0].kernel_size) == ("image", 3)
    assert (
        "init: assumed data.kind: image. Samples of 28×20 are grey images: neighbours are alike along both axes. If "
        "they are series, set data.kind: series in the written file, and run init again."
    ) in capsys.readouterr().out
    apply_overrides(Path("params.yaml"), ["data.kind=series"])
    params = initialized("mine.npz")
    assert (params.data.kind, params.training.augmentation.rotate) == ("series", 0.0)
    dataset = prepared(params)
    assert (dataset.kind, dataset.input_shape) == ("series", (28, 20))
    np.savez("other.npz", x_train=smooth(40, 28, 20, 1), y_train=np.arange(40) % 2)
    assert initialized("other.npz").data.kind == "image", "the declaration was about other data"


def test_settings_of_former_image_files_are_not_kept_for_arrays(project: Path) -> None:
    former = ["data.source=images:former", "data.image_size=[8,8]", "data.resize=pad", "data.background=[9,9,9]"]
    apply_overrides(Path("params.yaml"), former)
    np.savez("mine.npz", x_train=smooth(40, 28, 20, 1), y_train=np.arange(40) % 2)
    data = initialized("mine.npz").data
    assert (data.image_size, data.resize, data.background) == (None, "stretch", (0, 0, 0))


@pytest.mark.parametrize("form", ["npy", "hdf5", pytest.param("zarr", marks=NEEDS_ZARR)])
def test_arrays_of_every_format_are_recognized(project: Path, form: str) -> None:
    arrays = {"x_train": smooth(40, 30, 2), "y_train": np.arange(40) % 2}
    if form == "zarr":
        import zarr

        group = zarr.open_group("mine", mode="w")
        for name, values in arrays.items():
            group[name] = values
    elif form == "hdf5":
        with h5py.File("mine.h5", "w") as file:
            for name, values in arrays.items():
                file[name] = values
    else:
        Path("mine").mkdir()
        for name, values in arrays.items():
            np.save(f"mine/{name}.npy", values)
    params = initialized("mine.h5" if form == "hdf5" else "mine")
    assert params.data.source.partition(":")[0] == form
    assert (params.data.kind, params.data.channels) == ("series", "last")


@NEEDS_DATASETS
@pytest.mark.slow
def test_images_of_hugging_face_keep_their_colours(project: Path) -> None:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    pictures = [Image.fromarray(NUMBERS.integers(0, 256, (12, 10 + number % 2, 3), np.uint8)) for number in range(20)]
    rows = {"image": pictures, "label": [number % 2 for number in range(20)]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk("mine")
    params = initialized("mine")
    assert (params.data.source, params.data.color_mode) == ("huggingface:mine", "rgb")
    assert params.data.image_size is not None
    assert prepared(params).input_shape == (*params.data.image_size, 3)


def test_arrays_of_no_kind_are_refused(project: Path) -> None:
    np.savez("mine.npz", x_train=np.zeros((40, 2, 3, 4, 5, 6)), y_train=np.arange(40) % 2)
    with pytest.raises(UserError, match=r"must have shape .*got \(40, 2, 3, 4, 5, 6\)"):
        initialized("mine.npz")
