from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UnreadableError, UserError
from pipeline.signals import recording
from pipeline.signals.recording import read_recording, to_words, wav_bytes
from tests.installed import NEEDS_SOUNDFILE


def tone(rate: int, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int, form: str = "WAV", subtype: str | None = None) -> bytes:
    import soundfile

    target = BytesIO()
    soundfile.write(target, samples, rate, format=form, subtype=subtype)
    return target.getvalue()


def test_a_wav_file_of_16_bits_is_written_without_a_package() -> None:
    content = wav_bytes(np.array([0.0, 1.0, -2.0], np.float32), 8000)
    assert content[:4] == b"RIFF"
    assert np.frombuffer(content[-6:], "<i2").tolist() == [0, 32767, -32767]
    assert content == wav_bytes(to_words(np.array([0.0, 1.0, -1.0])), 8000)


@NEEDS_SOUNDFILE
@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_each_format_is_read_from_a_file_and_from_bytes(tmp_path: Path, form: str) -> None:
    content = encoded(tone(8000), 8000, form)
    (tmp_path / "a").write_bytes(content)
    samples = read_recording(tmp_path / "a", "a", 8000).samples
    assert samples.dtype == np.float32
    assert np.abs(samples - tone(8000)).max() < (0.05 if form == "OGG" else 0.001)
    assert np.array_equal(samples, read_recording(content, "a", 8000).samples)


@NEEDS_SOUNDFILE
def test_channels_are_averaged() -> None:
    both = np.stack([tone(8000), np.zeros(4000, np.float32)], axis=1)
    assert np.abs(read_recording(encoded(both, 8000), "a", 8000).samples - tone(8000) / 2).max() < 0.001


@NEEDS_SOUNDFILE
@pytest.mark.parametrize("rate", [11025, 22050, 44100, 48000])
def test_another_rate_is_converted(rate: int) -> None:
    samples = read_recording(encoded(tone(rate), rate), "a", 8000).samples
    assert abs(len(samples) - 4000) <= 1
    assert np.abs(samples[:3990] - tone(8000)[:3990])[50:-50].max() < 0.01


@NEEDS_SOUNDFILE
def test_recordings_of_zero_length_are_refused() -> None:
    with pytest.raises(UnreadableError, match=r"a.wav: must contain sound, got a recording of zero length"):
        read_recording(encoded(np.zeros(0, np.float32), 8000), "a.wav", 8000)


@NEEDS_SOUNDFILE
def test_nan_and_infinity_are_refused_with_the_sample() -> None:
    for bad in (np.nan, np.inf):
        samples = tone(8000)
        samples[400] = bad
        with pytest.raises(UnreadableError, match=r"got NaN or infinity at sample 400 \(0.050 s\)"):
            read_recording(encoded(samples, 8000, subtype="FLOAT"), "a.wav", 8000)


@NEEDS_SOUNDFILE
@pytest.mark.parametrize("content", [b"RIFF\0\0\0\0WAVE", b"fLaC\0", b"no recording at all", b"OggS"])
def test_damaged_files_are_refused(content: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"^a.wav: must be a WAV, FLAC or OGG file, but cannot be decoded"):
        read_recording(content, "a.wav", 8000)


@NEEDS_SOUNDFILE
@pytest.mark.parametrize("share", [0.25, 0.5, 0.99])
@pytest.mark.parametrize(
    ("form", "subtype", "message"),
    [
        ("WAV", "PCM_16", r"end is missing: got [\d,]+ of 48,000 bytes of sound; copy"),
        ("WAV", "IMA_ADPCM", "end is missing"),
        ("WAVEX", "PCM_24", "end is missing: got .* of 72,000 bytes"),
        ("RF64", "FLOAT", "end is missing: got .* of 96,000 bytes"),
        ("FLAC", "PCM_16", "end is missing: got .* samples|lost sync"),
        ("OGG", "VORBIS", "end is missing: got no complete page"),
        ("OGG", "OPUS", "end is missing: got no complete page|file is malformed"),
    ],
)
def test_truncated_recordings_are_refused(form: str, subtype: str, message: str, share: float) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 24000).astype(np.float32)
    content = encoded(sound, 8000, form, subtype)
    assert len(read_recording(content, "a", 8000).samples) >= 24000
    with pytest.raises(UnreadableError, match=f"^a: .*({message})"):
        read_recording(content[: int(len(content) * share)], "a", 8000)


@NEEDS_SOUNDFILE
def test_a_recording_that_was_written_to_a_pipe_has_no_declared_length() -> None:
    content = bytearray(encoded(tone(8000), 8000))
    place = content.index(b"data") + 4
    content[4:8] = content[place : place + 4] = b"\xff" * 4
    assert len(read_recording(bytes(content), "a", 8000).samples) == 4000


@NEEDS_SOUNDFILE
def test_other_formats_and_rates_are_refused() -> None:
    with pytest.raises(UnreadableError, match="got AIFF; convert it"):
        read_recording(encoded(tone(8000), 8000, "AIFF"), "a.aiff", 8000)
    with pytest.raises(UnreadableError, match="sampling rate must be from 100 to 1,000,000 Hz, got 1 Hz"):
        read_recording(encoded(tone(8000), 1), "a.wav", 8000)


@NEEDS_SOUNDFILE
def test_a_recording_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MAX_SAMPLES", 1000)
    with pytest.raises(UnreadableError, match="at most 1,000 samples"):
        read_recording(encoded(tone(8000), 8000), "a.wav", 8000)


def test_without_soundfile_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(UserError, match='make extras EXTRAS="audio"'):
        read_recording(b"RIFF", "a.wav", 8000)
