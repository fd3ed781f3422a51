import base64
import re
import wave
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipeline.data.audio_format import AudioFormat
from pipeline.data.split import Split
from pipeline.evaluation.metrics import Predictions
from pipeline.report.builder import ReportBuilder
from pipeline.report.listening import add_listening_section

FORM = AudioFormat(
    rate=8000, piece=400, piece_hop=400, window=160, hop=80, bands=8, low=100.0, high=4000.0, floor_db=-60.0
)
RECORDINGS = np.arange(4 * 400, dtype=np.int16).reshape(4, 400)


def page(folder: Path, wrong: dict[int, float], recordings: Any = RECORDINGS, most: int = 16) -> str:
    """The section for four recordings of class a; those in `wrong` are classified as b with this confidence."""
    probabilities = np.array([[1 - wrong.get(place, 0.0), wrong.get(place, 0.0)] for place in range(4)])
    labels = np.zeros(4, np.int64)
    test = Split("test", np.zeros((4, 4, 8, 1), np.float32), labels, "", ("0.wav", "<1>.wav", "2.wav", "3.wav"),
                 (), recordings)  # fmt: skip
    evaluation: Any = SimpleNamespace(
        test=test, predictions=Predictions(probabilities, labels), classes=("a", "b"),
        data=SimpleNamespace(dataset=SimpleNamespace(input_format=FORM)), params=SimpleNamespace(mistakes=most),
    )  # fmt: skip
    report = ReportBuilder(folder)
    add_listening_section(report, evaluation)
    return "".join(section.content for section in report.sections)


def test_each_mistake_has_a_player_with_its_recording_the_most_confident_first(tmp_path: Path) -> None:
    content = page(tmp_path, {1: 0.7, 3: 0.9})
    assert re.findall(r'<th scope="row">(.*?)</th>', content) == ["3.wav", "&lt;1&gt;.wav"]
    sounds = re.findall(r'<audio controls preload="none" src="data:audio/wav;base64,([^"]+)"></audio>', content)
    for sound, place in zip(sounds, (3, 1), strict=True):
        with wave.open(BytesIO(base64.b64decode(sound))) as file:
            assert file.getparams()[:4] == (1, 2, 8000, 400)
            assert np.array_equal(np.frombuffer(file.readframes(400), "<i2"), RECORDINGS[place])


def test_the_number_and_the_bytes_of_recordings_are_limited(tmp_path: Path) -> None:
    assert page(tmp_path, {1: 0.7, 3: 0.9, 0: 0.8}, most=2).count("<audio") == 2
    long = np.zeros((4, 2**20), np.int16)
    assert page(tmp_path, {0: 0.7, 1: 0.7, 2: 0.9, 3: 0.8}, long).count("<audio") == 3


def test_without_mistakes_or_recordings_there_is_no_section(tmp_path: Path) -> None:
    assert page(tmp_path, {}) == ""
    assert page(tmp_path, {1: 0.9}, recordings=None) == ""
