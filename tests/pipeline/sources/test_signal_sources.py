"""The sources of time series and recordings."""

import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import prepare
from pipeline.data.audio_format import AudioFormat
from pipeline.data.dataset import read_dataset
from pipeline.data.series_format import SeriesFormat
from pipeline.data.split import read_split
from pipeline.errors import UserError
from pipeline.sections import DataParams
from pipeline.signals.audio_input import read_audio_inputs, spectrograms
from pipeline.signals.recording import wav_bytes
from pipeline.sources.signal_files import decode_recording, decode_series
from pipeline.sources.source import Source
from tests.installed import NEEDS_ESPEAK, NEEDS_SOUNDFILE
from tests.pipeline.param_sections import data_params, params_with
from tests.pipeline.sources.loading import load


def params(source: str, series: dict[str, Any] | None = None, audio: dict[str, Any] | None = None) -> DataParams:
    """The committed section `data`, with changes of `series` and `audio`."""
    content = data_params().model_dump(mode="json")
    return data_params(source=source, series=content["series"] | (series or {}), audio=content["audio"] | (audio or {}))


def write_ts(path: Path, cases: list[str], header: str = "") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["@problemName Waves", header or "@classLabel true up down", "@data", *cases]))
    return path


def write_csv(path: Path, values: np.ndarray, header: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*([header] if header else []), *(",".join(map(str, row)) for row in values.tolist())]))


def series_folder(folder: Path, length: int = 20, files: int = 3) -> Path:
    """Class folders a and b with series that count up, from 0 and from 1000."""
    for label, name in enumerate(("a", "b")):
        for number in range(files):
            write_csv(folder / name / f"{number}.csv", np.arange(length)[:, None] + 1000 * label)
    return folder


def test_a_ts_folder_gives_the_splits_of_its_files(tmp_path: Path) -> None:
    write_ts(tmp_path / "Waves" / "Waves_TRAIN.ts", ["1,2,3:up", "3,2,1:down"])
    write_ts(tmp_path / "Waves" / "Waves_TEST.ts", ["4,5,6:down"], "@classLabel true down up")
    source = load(params(f"ts:{tmp_path / 'Waves'}"), seed=0)
    assert (source.name, source.kind, source.classes) == ("Waves", "series", ("up", "down"))
    train, labels = source.parts["train"]
    assert train[:][..., 0].tolist() == [[1, 2, 3], [3, 2, 1]]
    assert labels.tolist() == [0, 1]
    assert source.parts["test"][1].tolist() == [1], "the test file lists the classes in another order"
    assert source.names["test"] == ["line 4"]
    assert source.groups == {}
    assert isinstance(source.input_format, SeriesFormat)
    assert source.input_format.window == 3


@pytest.mark.parametrize(
    ("lengths", "first", "second"),
    [("pad", [1, 2, 3], [3, 1, 1]), ("crop", [1, 2], [3, 1]), ("stretch", [1, 2, 3], [3, 1.7, 0.3])],
)
def test_ragged_cases_are_refused_or_converted_as_declared(
    tmp_path: Path, lengths: str, first: list[float], second: list[float]
) -> None:
    path = write_ts(tmp_path / "x.ts", ["1,2,3:up", "3,1:down"])
    with pytest.raises(UserError, match=r"same length, got 3 \(1\), 2 \(1\); set data.series.lengths: pad, crop or"):
        load(params(f"ts:{path}"), seed=0)
    rows, _ = load(params(f"ts:{path}", {"lengths": lengths}), seed=0).parts["train"]
    assert rows[:1].ravel().tolist() == first
    assert rows[1:].ravel() == pytest.approx(second, abs=0.2)


def test_missing_values_are_refused_with_line_and_time_step_or_interpolated(tmp_path: Path) -> None:
    path = write_ts(tmp_path / "x.ts", ["1,2,3:up", "3,?,1:down"])
    with pytest.raises(UserError, match=r"train: line 5: .* got one at time step 1, channel 0; .*interpolate"):
        load(params(f"ts:{path}"), seed=0)
    rows, _ = load(params(f"ts:{path}", {"missing": "interpolate"}), seed=0).parts["train"]
    assert rows[1:].ravel().tolist() == [3, 2, 1]
    write_ts(path, ["1,2,3:up", "3,inf,1:down"])
    with pytest.raises(UserError, match=r"line 5: .* got infinity at time step 1, channel 0"):
        load(params(f"ts:{path}", {"missing": "interpolate"}), seed=0)


def test_ts_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "Waves"
    folder.mkdir()
    with pytest.raises(UserError, match=r"must contain a file that ends in _TRAIN.ts, got none"):
        load(params(f"ts:{folder}"), seed=0)
    write_ts(folder / "a_TRAIN.ts", ["1,2:up"])
    test = write_ts(folder / "a_TEST.ts", ["1,2:left"], "@classLabel true left right")
    with pytest.raises(UserError, match="same classes, got left, right in test and up, down in train"):
        load(params(f"ts:{folder}"), seed=0)
    write_ts(test, ["1,2:3,4:up"])
    with pytest.raises(UserError, match="same channels, got 2 in test and 1 in train"):
        load(params(f"ts:{folder}"), seed=0)
    write_ts(test, ["1,2:up"])
    for changes, message in (
        ({"rate": 5.0}, "set data.series.rate: null"),
        ({"split_by": "group"}, "set data.series.split_by: random or time"),
        ({"split_by": "time", "window": 1}, "must be one file to be divided in time, got files of train, test"),
    ):
        with pytest.raises(UserError, match=message):
            load(params(f"ts:{folder}", changes), seed=0)
    write_ts(folder / "b_TRAIN.ts", ["1,2:up"])
    with pytest.raises(UserError, match=r"one file that ends in _TRAIN.ts, got a_TRAIN.ts, b_TRAIN.ts"):
        load(params(f"ts:{folder}"), seed=0)
    assert set(load(params(f"ts:{folder / 'a_TRAIN.ts'}"), seed=0).parts) == {"train", "test"}
    assert set(load(params(f"ts:{folder / 'b_TRAIN.ts'}"), seed=0).parts) == {"train"}


def test_declared_splits_cannot_be_divided_in_time(tmp_path: Path) -> None:
    series_folder(tmp_path)
    rows = [f"{name}/{number}.csv,{name},{split}" for name in "ab" for number, split in enumerate(("train", "test"))]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,split", *rows]))
    with pytest.raises(UserError, match=r"must not declare splits .*, got train, test; .* or remove the column split"):
        load(params(f"series:{tmp_path / 'm.csv'}", {"split_by": "time", "window": 10}), seed=0)


def test_windows_of_a_csv_series_carry_their_file_as_group(tmp_path: Path) -> None:
    source = load(params(f"series:{series_folder(tmp_path / 'mine')}", {"window": 10, "hop": 5}), seed=0)
    rows, labels = source.parts["train"]
    assert rows.shape == (18, 10, 1)
    assert labels.tolist() == [0] * 9 + [1] * 9
    assert rows[np.array([1, 9])][:, 0, 0].tolist() == [5, 1000]
    assert source.names["train"][:2] == ["a/0.csv (1)", "a/0.csv (2)"]
    assert len(set(source.groups["train"])) == 6
    assert source.groups["train"][:3] == ["file a/0.csv"] * 3


def test_a_whole_csv_series_is_one_input_without_a_group(tmp_path: Path) -> None:
    source = load(params(f"series:{series_folder(tmp_path / 'mine')}"), seed=0)
    assert source.parts["train"][0].shape == (6, 20, 1)
    assert source.groups == {}


def test_a_series_folder_is_divided_in_time(tmp_path: Path) -> None:
    folder = series_folder(tmp_path / "mine", length=100)
    source = load(params(f"series:{folder}", {"window": 10, "hop": 5, "split_by": "time"}), seed=0)
    assert set(source.parts) == {"train", "val", "test"}
    test, labels = source.parts["test"]
    assert test[:][labels == 0].min() == 80, "the test split is the last fifth"
    assert np.asarray(source.parts["val"][0][:])[source.parts["val"][1] == 0].max() < 80


def test_groups_are_folders_below_the_class(tmp_path: Path) -> None:
    for person in ("p1", "p2"):
        for name in ("a", "b"):
            write_csv(tmp_path / "mine" / name / person / "0.csv", np.arange(5)[:, None])
    source = load(params(f"series:{tmp_path / 'mine'}", {"split_by": "group"}), seed=0)
    assert source.groups == {"train": ["p1", "p2", "p1", "p2"]}
    write_csv(tmp_path / "mine" / "a" / "1.csv", np.arange(5)[:, None])
    with pytest.raises(UserError, match=r"a/1.csv: must lie in a folder of its group"):
        load(params(f"series:{tmp_path / 'mine'}", {"split_by": "group"}), seed=0)


def test_groups_of_joined_folders_are_folders_below_the_class(tmp_path: Path) -> None:
    for folder, person in (("monday", "p1"), ("tuesday", "p2")):
        for split in ("train", "test"):
            for name in ("a", "b"):
                write_csv(tmp_path / folder / split / name / f"{split} {person}" / "0.csv", np.arange(5)[:, None])
    joined = f"series:{tmp_path / 'monday'},{tmp_path / 'tuesday'}"
    source = load(params(joined, {"split_by": "group"}), seed=0)
    assert source.groups["train"] == ["train p1", "train p1", "train p2", "train p2"]
    write_csv(tmp_path / "monday" / "train" / "a" / "1.csv", np.arange(5)[:, None])
    with pytest.raises(UserError, match=r"monday/train/a/1.csv: must lie in a folder of its group"):
        load(params(joined, {"split_by": "group"}), seed=0)


def test_csv_series_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_csv(folder / "a" / "0.csv", np.zeros((5, 2)), "x,y")
    write_csv(folder / "b" / "0.csv", np.zeros((5, 2)), "y,x")
    with pytest.raises(UserError, match=r"same columns .*, got 2 \(y, x\) in b/0.csv and 2 \(x, y\) in a/0.csv"):
        load(params(f"series:{folder}"), seed=0)
    write_csv(folder / "b" / "0.csv", np.zeros((5, 1)))
    with pytest.raises(UserError, match=r"got 1 in b/0.csv and 2 \(x, y\) in a/0.csv"):
        load(params(f"series:{folder}"), seed=0)
    (folder / "b" / "0.csv").write_text("x,y\n1,2\n3,nan\n")
    with pytest.raises(UserError, match=r"1 of 2 files are not readable:\n.*0.csv: .* time step 1, channel 1"):
        load(params(f"series:{folder}"), seed=0)
    write_csv(folder / "loose.csv", np.zeros((5, 2)))
    with pytest.raises(UserError, match=r"must not contain files or broken links next to .* got loose.csv"):
        load(params(f"series:{folder}"), seed=0)


def test_unreadable_series_can_be_skipped(tmp_path: Path) -> None:
    folder = series_folder(tmp_path / "mine")
    (folder / "a" / "bad.csv").write_text("1\nx\n")
    source = load(params(f"series:{folder}").model_copy(update={"on_unreadable": "skip"}), seed=0)
    assert source.skipped == ("a/bad.csv",)
    assert len(source.parts["train"][1]) == 6


def write_tone(path: Path, hertz: float, seconds: float, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    path.write_bytes(wav_bytes(sound.astype(np.float32), rate))


def audio_source(folder: Path, **changes: Any) -> Source:
    return load(params(f"audio:{folder}", audio={"rate": 8000, "seconds": 0.5, "bands": 16, **changes}), seed=0)


@NEEDS_SOUNDFILE
def test_recordings_are_resampled_and_cut_into_spectrograms(tmp_path: Path) -> None:
    for number, rate in enumerate((8000, 16000, 44100)):
        write_tone(tmp_path / "tones" / "low" / f"{number}.wav", 300, 1.25, rate)
        write_tone(tmp_path / "tones" / "high" / f"{number}.wav", 2500, 0.3, rate)
    source = audio_source(tmp_path / "tones")
    rows, labels = source.parts["train"]
    assert (source.kind, source.classes) == ("audio", ("high", "low"))
    assert isinstance(source.input_format, AudioFormat)
    assert rows.shape == (12, *source.input_format.input_shape) == (12, 48, 16, 1)
    assert labels.tolist() == [0] * 3 + [1] * 9
    loudest = rows[:][:, 5, :, 0].argmax(axis=1)
    assert len(set(loudest[:3])) == len(set(loudest[3:])) == 1
    assert loudest[0] > loudest[3]
    assert source.names["train"][3:5] == ["low/0.wav (1)", "low/0.wav (2)"]
    assert len(set(source.groups["train"])) == 6
    assert source.recordings["train"].shape == (12, 4000)


@NEEDS_SOUNDFILE
def test_recordings_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tone(tmp_path / name / "0.wav", 300, 0.5)
    write_tone(tmp_path / "a" / "none.wav", 300, 0.0)
    (tmp_path / "b" / "note.wav").write_text("no recording")
    with pytest.raises(UserError, match=r"2 of 4 files are not readable:\n.*none.wav: .*zero length.*\n.*note.wav: "):
        audio_source(tmp_path)


@NEEDS_SOUNDFILE
def test_more_bands_than_the_window_resolves_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tone(tmp_path / name / "0.wav", 300, 0.5)
    with pytest.raises(UserError, match=r"data.audio.bands: each band must contain a frequency"):
        audio_source(tmp_path, bands=200)


@NEEDS_SOUNDFILE
def test_prepare_keeps_the_sound_of_the_test_pieces_and_the_format_of_the_files(tmp_path: Path) -> None:
    for number in range(6):
        write_tone(tmp_path / "tones" / "low" / f"{number}.wav", 300 + number, 1.0)
        write_tone(tmp_path / "tones" / "high" / f"{number}.wav", 2500 + number, 1.0)
    data = params(f"audio:{tmp_path / 'tones'}", audio={"rate": 8000, "seconds": 0.5, "bands": 16})
    prepare.run(params_with(data=data, seed=1), prepare.Paths(tmp_path / "prepared", tmp_path / "reports"))
    dataset = read_dataset(tmp_path / "prepared" / "dataset.json")
    test = read_split(tmp_path / "prepared" / "test", "test")
    assert (dataset.kind, dataset.input_shape) == ("audio", (48, 16, 1))
    assert test.recordings.shape == (len(test.labels), 4000)
    assert isinstance(dataset.input_format, AudioFormat)
    assert np.array_equal(spectrograms(np.asarray(test.recordings), dataset.input_format), test.images)
    assert not (tmp_path / "prepared" / "train" / "recordings.npy").exists()
    files = {name.split(" ")[0] for name in test.names}
    for name in files:
        again = read_audio_inputs(tmp_path / "tones" / name, name, dataset.input_format)
        assert np.array_equal(again, test.images[[each.startswith(f"{name} ") for each in test.names]])
    train = read_split(tmp_path / "prepared" / "train", "train")
    assert not files & {name.split(" ")[0] for name in train.names}


@NEEDS_ESPEAK
@NEEDS_SOUNDFILE
def test_spectrograms_of_spoken_words_are_alike_across_voices(tmp_path: Path) -> None:
    """The words of other voices have the spectrogram of the nearest mean of their own word."""
    for split, voices in {"train": ("m1", "m3", "f1", "f3"), "test": ("m7", "f2")}.items():
        for word in ("one", "seven", "eight"):
            (tmp_path / "words" / split / word).mkdir(parents=True)
            for voice in voices:
                path = tmp_path / "words" / split / word / f"{voice}.wav"
                subprocess.run(["espeak-ng", "-v", f"en-us+{voice}", "-w", path, word], check=True)
    source = audio_source(tmp_path / "words", seconds=0.8)
    (train, labels), (test, expected) = source.parts["train"], source.parts["test"]
    means = np.stack([train[:][labels == label].mean(axis=0) for label in range(3)])
    nearest = [int(((means - each) ** 2).sum(axis=(1, 2, 3)).argmin()) for each in test[:]]
    assert len(expected) == 6
    assert nearest == expected.tolist()


@NEEDS_SOUNDFILE
def test_what_was_done_to_a_recording_is_recorded() -> None:
    import soundfile

    target = BytesIO()
    soundfile.write(target, np.full((1600, 2), 1.5, np.float32), 16000, format="WAV", subtype="FLOAT")
    decoded = decode_recording(target.getvalue(), "a.wav", 8000)
    assert decoded.samples.shape == (1, 800)
    assert decoded.facts == {
        "size": [1600], "mode": "2 channels, 16000 Hz", "format": "WAV FLOAT",
        "converted": ["2 channels averaged", "16000 Hz to 8000 Hz", "clipped"],
    }  # fmt: skip


def test_what_was_done_to_a_series_is_recorded() -> None:
    content = b"time,x\n0,1\n1,\n2,3\n4,5\n"
    decoded = decode_series(content, "a.csv", None, None, "interpolate")
    assert decoded.samples.ravel().tolist() == [1, 2, 3, 4, 5]
    assert decoded.facts["converted"] == ["missing values interpolated", "missing time steps interpolated"]
    assert (decoded.facts["size"], decoded.facts["mode"], decoded.facts["format"]) == ([4], "1 channel", "CSV")


def test_a_pattern_gives_labels_and_groups_of_series(tmp_path: Path) -> None:
    for name in ("p1_walk", "p1_run", "p2_walk", "p2_run"):
        write_csv(tmp_path / "mine" / f"{name}.csv", np.arange(5)[:, None])
    data = params(f"series:{tmp_path / 'mine'}").model_copy(
        update={"file_pattern": r"(?P<group>p\d)_(?P<label>[a-z]+)\.csv"}
    )
    source = load(data, seed=0)
    assert source.classes == ("run", "walk")
    assert source.groups == {"train": ["p1", "p1", "p2", "p2"]}


@pytest.mark.parametrize("content", ['1\n"1\n2"\n', "time,x\n0,1\n1,2\n2,3\n1e12,4\n", "1\n1e300\n"])
def test_files_that_cannot_be_converted_are_skipped(tmp_path: Path, content: str) -> None:
    folder = series_folder(tmp_path / "mine")
    (folder / "a" / "bad.csv").write_text(content)
    data = params(f"series:{folder}", {"missing": "interpolate"}).model_copy(update={"on_unreadable": "skip"})
    assert load(data, seed=0).skipped == ("a/bad.csv",)


def test_names_of_columns_are_compared_even_if_the_first_file_has_none(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for name, header in (("a/0", ""), ("a/1", "x,y"), ("b/0", "x,y")):
        write_csv(folder / f"{name}.csv", np.full((5, 2), 0.5), header)
    form = load(params(f"series:{folder}"), seed=0).input_format
    assert isinstance(form, SeriesFormat)
    assert (form.names, form.step) == (("x", "y"), None)
    write_csv(folder / "b" / "0.csv", np.full((5, 2), 0.5), "y,x")
    with pytest.raises(UserError, match=r"same columns .*, got 2 \(y, x\) in b/0.csv and 2 \(x, y\) in a/1.csv"):
        load(params(f"series:{folder}"), seed=0)


def test_other_time_steps_are_refused_unless_the_series_are_resampled(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for name, step in (("a/0", 0.1), ("a/1", 0.12), ("b/0", 0.01)):
        write_csv(folder / f"{name}.csv", np.stack([np.arange(50) * step, np.arange(50)], axis=1), "time,x")
    with pytest.raises(UserError, match=r"got 0.01 s in b/0.csv and 0.1 s in a/0.csv; set data.series.rate"):
        load(params(f"series:{folder}"), seed=0)
    form = load(params(f"series:{folder}", {"rate": 10.0, "lengths": "pad"}), seed=0).input_format
    assert isinstance(form, SeriesFormat)
    assert form.step is None
    write_csv(folder / "b" / "0.csv", np.stack([np.arange(50) * 0.11, np.arange(50)], axis=1), "time,x")
    form = load(params(f"series:{folder}"), seed=0).input_format
    assert isinstance(form, SeriesFormat)
    assert form.step == pytest.approx(0.11)


def test_series_with_and_without_time_stamps_are_refused_together(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for name, header in (("a/0", "x"), ("a/1", "time,x"), ("b/0", "x")):
        write_csv(folder / f"{name}.csv", np.arange(20).reshape(-1, 1 + header.count(",")), header)
    with pytest.raises(UserError, match=r"got 2 without, such as a/0.csv, and 1 with, such as a/1.csv; add a column"):
        load(params(f"series:{folder}", {"lengths": "pad"}), seed=0)


def test_files_of_which_none_is_readable_are_refused_with_the_first_reason(tmp_path: Path) -> None:
    for split in ("train", "test"):
        series_folder(tmp_path / "mine" / split)
    for path in (tmp_path / "mine/train").rglob("*.csv"):
        write_csv(path, np.arange(20).reshape(-1, 2), "time,x")
    data = params(f"series:{tmp_path / 'mine'}", {"rate": 10.0}).model_copy(update={"on_unreadable": "skip"})
    with pytest.raises(UserError, match=r"readable files in test, got 6 that .*: /.*test/a/0.csv: must have a column"):
        load(data, seed=0)
