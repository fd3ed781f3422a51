"""Series and recordings as inputs of a network: files, base64 and lists, the parts of a long one averaged."""

import base64
import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline import predict
from pipeline.data.audio_format import AudioFormat
from pipeline.data.input_format import InputFormat
from pipeline.data.series_format import SeriesFormat
from pipeline.data.value_range import ValueRange
from pipeline.errors import UserError
from pipeline.inference.classifier import read_classifier
from pipeline.inference.image_inputs import find
from pipeline.inference.read_input import suffixes_of
from pipeline.signals.recording import wav_bytes
from pipeline.signals.series_input import read_series_inputs
from tests.installed import NEEDS_SOUNDFILE

SERIES = SeriesFormat(window=4, channels=1, hop=4, rate=None, time_column=None, lengths="pad", missing="interpolate")
AUDIO = AudioFormat(
    rate=8000, piece=800, piece_hop=800, window=160, hop=80, bands=8, low=100.0, high=4000.0, floor_db=-60.0
)


def save_network(
    folder: Path,
    input_format: InputFormat | None,
    shape: tuple[int, ...],
    value_range: ValueRange | None,
    limit: float = 0.0,
) -> Path:
    """A network that answers `high` with the probability 0.88 if the mean of an input is above a limit, else 0.12."""
    import keras

    from pipeline.cnn.keras_file import save_model

    size = int(np.prod(shape))
    model = keras.Sequential([
        keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(1, activation="tanh"),
        keras.layers.Dense(2, activation="softmax"),
    ])  # fmt: skip
    model.layers[-2].set_weights([np.full((size, 1), 100 / size, np.float32), np.array([-100 * limit], np.float32)])
    model.layers[-1].set_weights([np.array([[-1.0, 1.0]], np.float32), np.zeros(2, np.float32)])
    save_model(model, folder / "model.keras", ("low", "high"), value_range, input_format)
    return folder / "model.keras"


def high(network: Path, *names: Path) -> list[float | str]:
    """The probability of `high` for each file, or the error."""
    found = predict.predict(predict.load_network(str(network)), find([str(name) for name in names]), 2)
    return [each.error or round(dict(each.classes)["high"], 2) for each in found]


def served(path: Path, inputs: list[Any]) -> list[float]:
    from pipeline.registry.pyfunc_model import ServedNetwork

    model = ServedNetwork()
    model.load_context(SimpleNamespace(artifacts={"model": str(path), "ood_detector": str(path.with_name("none"))}))
    return [round(each["probabilities"]["high"], 2) for each in model.predict(None, inputs)]


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_the_parts_of_a_long_series_are_averaged_in_predict_and_when_served(tmp_path: Path) -> None:
    network = save_network(tmp_path, SERIES, (4, 1), None)
    assert read_classifier(network).input_format == SERIES
    contents = {"up": "1 1 1 1", "both": "1 1 1 1 -1 -1 -1 -1", "short": "1 -1.5", "gap": "1 ? 1 1", "bad": "1 x"}
    files = []
    for name, values in contents.items():
        files.append(tmp_path / f"{name}.csv")
        files[-1].write_text("\n".join(values.split()))
    *numbers, error = high(network, *files)
    assert numbers == [0.88, 0.5, 0.12, 0.88]
    assert "bad.csv: fields must be numbers, got 'x' in line 2" in str(error)
    encoded = [base64.b64encode(each.read_bytes()).decode() for each in files[:4]]
    lists = [[1, 1, 1, 1], [[1]] * 4 + [[-1]] * 4, [1, -1.5], [1, None, 1, 1]]
    assert served(network, encoded) == served(network, lists) == numbers


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_a_served_series_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException

    network = save_network(tmp_path, SERIES.model_copy(update={"missing": "error"}), (4, 1), None)
    for values, message in (
        ([[1, 2], [1]], "input 0: must be lists of numbers"),
        ([[1, 2]], "input 0: must have 1 channel like the training series, got 2"),
        ([1, None, 3], "input 0: must have no missing values, got one at time step 1"),
    ):
        with pytest.raises(MlflowException, match=message):
            served(network, [values])


@pytest.mark.parametrize("content", ["time,x\n0,1\n", "1\n2\n"])
def test_a_series_or_a_list_of_series_is_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    def given(text: str) -> list[tuple[str, bytes | None]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text.encode()))))
        return [(each.name, each.content) for each in find(["-"], (".csv",), text=True)]

    assert given(content) == [("standard input", content.encode())]
    assert given("a.csv\nb.csv\n") == [("a.csv", None), ("b.csv", None)]


def test_remedies_for_a_new_series_are_possible(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    strict = SERIES.model_copy(update={"lengths": "error", "missing": "error", "hop": None})
    for content in ("1\n2\n", "1\n?\n1\n1\n", "time,a\n0,1\n1,1\n5,1\n6,1\n"):
        file.write_text(content)
        with pytest.raises(UserError, match=r"a.csv: .*must .*; correct the input, or train the network with") as error:
            read_series_inputs(file, "a.csv", strict)
        assert "set data.series" not in str(error.value)


@NEEDS_SOUNDFILE
@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_raw_audio_of_another_rate_is_cut_into_pieces_and_averaged(tmp_path: Path) -> None:
    network = save_network(tmp_path, AUDIO, AUDIO.input_shape, ValueRange(black=-60.0, white=0.0), limit=-40.0)
    noise = np.random.default_rng(0).normal(0, 0.3, 2400).astype(np.float32)
    quiet = np.zeros(2400, np.float32)
    for name, sound in {"loud": noise, "quiet": quiet, "other_rate": quiet, "half": np.append(noise, quiet)}.items():
        (tmp_path / f"{name}.wav").write_bytes(wav_bytes(sound, 16000 if name == "other_rate" else 8000))
    files = [tmp_path / f"{name}.wav" for name in ("loud", "quiet", "other_rate", "half")]
    assert high(network, *files) == [0.88, 0.12, 0.12, 0.5]
    assert served(network, [base64.b64encode(each.read_bytes()).decode() for each in files]) == high(network, *files)


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_a_list_of_audio_samples_is_refused_with_the_remedy(tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException

    network = save_network(tmp_path, AUDIO, AUDIO.input_shape, ValueRange(black=-60.0, white=0.0))
    with pytest.raises(MlflowException, match=r"must have shape .*, got \[3\]; send a recording as a file in base64"):
        served(network, [[0.0, 0.1, 0.2]])


def test_files_of_the_networks_kind_are_taken_from_a_folder(tmp_path: Path) -> None:
    for name in ("a.wav", "b.FLAC", "c.png", "d.csv"):
        (tmp_path / name).touch()
    for form, expected in ((AUDIO, ["a.wav", "b.FLAC"]), (SERIES, ["d.csv"]), (None, ["c.png"])):
        found = find([str(tmp_path)], suffixes_of(form, (4, 4, 1)))
        assert [Path(each.name).name for each in found] == expected
