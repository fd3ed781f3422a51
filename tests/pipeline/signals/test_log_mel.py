from importlib.util import find_spec

import numpy as np
import pytest

from pipeline.data.audio_format import AudioFormat
from pipeline.errors import UserError
from pipeline.sections.signals import AudioParams
from pipeline.signals.audio_input import fill_up, spectrograms
from pipeline.signals.formats import audio_format
from pipeline.signals.log_mel import frames_of, hertz_of, log_mel, mel_filters, mel_of
from pipeline.signals.recording import to_words

FORM = AudioFormat(
    rate=8000, piece=4000, piece_hop=2000, window=200, hop=80, bands=24, low=50.0, high=4000.0, floor_db=-80.0
)


def tone(hertz: float, samples: int = 4000, amplitude: float = 1.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(samples) / 8000)).astype(np.float32)


def spectrogram(sound: np.ndarray) -> np.ndarray:
    """The (time, bands) decibels of a recording of 4000 samples."""
    return spectrograms(to_words(sound)[None], FORM)[0, ..., 0]


def test_the_mel_scale_has_its_known_values() -> None:
    """1000 Hz are 1000 mel by the definition of the scale, up to the rounding of its constants."""
    assert mel_of(np.array([0.0, 1000.0, 4000.0])) == pytest.approx([0, 999.99, 2146.06], abs=0.01)
    assert hertz_of(mel_of(np.array([440.0]))) == pytest.approx([440.0])


def test_neighbouring_filters_add_up_to_one_between_the_centres() -> None:
    filters = mel_filters(8000, 1024, 24, 50.0, 4000.0)
    edges = hertz_of(np.linspace(*mel_of(np.array([50.0, 4000.0])), 26))
    frequencies = np.arange(513) * 8000 / 1024
    inner = (frequencies >= edges[1]) & (frequencies <= edges[-2])
    assert filters.sum(axis=0)[inner] == pytest.approx(1.0, abs=1e-5)
    assert filters[:, frequencies < 50].sum() == 0


@pytest.mark.skipif(find_spec("librosa") is None, reason="librosa, a comparison only, is not in the lock file")
def test_filters_and_spectrogram_are_those_of_librosa() -> None:
    import librosa

    settings = {"sr": 8000, "n_fft": 256, "n_mels": 20, "fmin": 50.0, "fmax": 4000.0, "htk": True, "norm": None}
    assert np.abs(mel_filters(8000, 256, 20, 50.0, 4000.0) - librosa.filters.mel(**settings)).max() < 1e-6
    noise = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    power = librosa.feature.melspectrogram(y=noise, hop_length=80, win_length=200, center=False, **settings)
    theirs = 10 * np.log10(power * (2 / librosa.filters.get_window("hann", 200).sum()) ** 2)
    ours = log_mel(  # librosa puts a window of 200 samples into the middle of 256
        noise[28:], rate=8000, window=200, hop=80, bands=20, low=50.0, high=4000.0, floor_db=-80.0
    )
    assert np.abs(ours[: theirs.shape[1]].T - theirs).max() < 1e-3


def test_a_sine_of_full_amplitude_has_zero_decibels_in_its_band_and_a_tenth_of_it_minus_twenty() -> None:
    centre = float(hertz_of(np.linspace(*mel_of(np.array([50.0, 4000.0])), 26))[12])  # of band 11
    loud, quiet = (spectrogram(tone(centre, amplitude=level)) for level in (1.0, 0.1))
    assert loud.shape == (48, 24) == FORM.input_shape[:2]
    assert set(loud.argmax(axis=1)) == {11}
    assert loud.max(axis=1) == pytest.approx(0.0, abs=1.0)
    assert (loud - quiet).max(axis=1) == pytest.approx(20.0, abs=0.1)


def test_silence_is_the_floor() -> None:
    assert (spectrogram(np.zeros(4000)) == -80.0).all()


def test_time_is_the_first_axis() -> None:
    sound = np.concatenate([np.zeros(2000, np.float32), tone(1000, 2000)])
    loud = spectrogram(sound).max(axis=1) > -20
    assert loud.tolist() == sorted(loud.tolist())
    assert 22 <= np.argmax(loud) <= 25


def test_the_spectrogram_has_the_frames_that_lie_within_the_recording() -> None:
    for samples in (200, 279, 280, 4000):
        shape = log_mel(
            tone(500, samples), rate=8000, window=200, hop=80, bands=24, low=50.0, high=4000.0, floor_db=-80.0
        ).shape
        assert shape == (frames_of(samples, 200, 80), 24)
    assert frames_of(199, 200, 80) == 0


def test_bands_without_a_frequency_are_refused() -> None:
    with pytest.raises(UserError, match=r"data.audio.bands: .* step of 31.25 Hz, but band 2 from 64 to 78 Hz"):
        mel_filters(8000, 256, 200, 50.0, 4000.0)


def test_a_short_recording_is_continued_with_silence() -> None:
    short = fill_up(to_words(tone(500, 1000)), 4000)
    assert short.shape == (4000,)
    assert not short[1000:].any()
    assert fill_up(short, 1000) is short


def test_the_format_counts_samples() -> None:
    params = AudioParams(
        rate=16000, seconds=0.5, hop_seconds=None, window_ms=25, hop_ms=10, bands=40, low=20, high=None, floor_db=-80
    )
    form = audio_format(params)
    assert (form.piece, form.piece_hop, form.window, form.hop, form.high) == (8000, 8000, 400, 160, 8000.0)
    assert form.input_shape == (48, 40, 1)
