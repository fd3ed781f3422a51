"""Read a recording from a WAV, FLAC or OGG file: mono, at a sampling rate, as numbers from -1 to 1."""

from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnreadableError, UserError
from pipeline.file_content import content_of
from pipeline.signals.resample import resample
from pipeline.signals.truncation import refuse_truncated, require_complete

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus")
_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")
_MAX_BYTES = 2 * 2**30
_MAX_SAMPLES = 2**28  # per channel: 93 minutes at 48 kHz, 1 GiB as float32
_RATES = (100, 1_000_000)  # Hz
_BLOCK = 2**18
_UNKNOWN_FRAMES = 2**62  # libsndfile reports the largest number if a header does not state the length


class Recording(NamedTuple):
    """A recording that was read from a file.

    Attributes:
        samples: (n,) values, mono, at the wanted rate; integer formats range from -1 to 1.
        length: Number of samples in the file.
        rate: Sampling rate of the file, in Hz.
        channels: Number of channels in the file.
        file_format: Format of the file, such as `WAV PCM_16`.
        clipped: Whether values exceed the range from -1 to 1.
    """

    samples: NDArray[np.float32]
    length: int
    rate: int
    channels: int
    file_format: str
    clipped: bool


def read_recording(source: Path | bytes, name: str, rate: int | None) -> Recording:
    """Read a recording. The channels are averaged, and the result is resampled.

    Args:
        source: Path or content of the file.
        name: Name of the recording in messages.
        rate: Sampling rate of the result, in Hz; None: that of the file.

    Raises:
        UnreadableError: The file is missing, empty, damaged, truncated, in another format, without samples, far too
            long, or contains values that are not finite.
        UserError: The package soundfile is not installed.
    """
    soundfile = _soundfile()
    content = content_of(source, name, "a WAV, FLAC or OGG file", _MAX_BYTES)
    try:
        with soundfile.SoundFile(BytesIO(content)) as file:
            if file.format not in _FORMATS:
                raise UnreadableError(f"{name}: must be a WAV, FLAC or OGG file, got {file.format}; convert it")
            if not _RATES[0] <= file.samplerate <= _RATES[1]:
                raise UnreadableError(
                    f"{name}: sampling rate must be from {_RATES[0]} to {_RATES[1]:,} Hz, got {file.samplerate} Hz; "
                    "the file is damaged"
                )
            require_complete(content, name)
            samples, found = _mono(file, name), int(file.samplerate)
            if file.format == "FLAC" and len(samples) < file.frames < _UNKNOWN_FRAMES:
                refuse_truncated(name, f"{len(samples):,} of {file.frames:,} samples")
            channels, file_format = int(file.channels), f"{file.format} {file.subtype}"
    except soundfile.LibsndfileError as error:
        raise UnreadableError(
            f"{name}: must be a WAV, FLAC or OGG file, but cannot be decoded: {error.error_string.rstrip('. ')}; "
            "repair or remove it"
        ) from None
    if not len(samples):
        raise UnreadableError(f"{name}: must contain sound, got a recording of zero length; remove it")
    bad = np.flatnonzero(~np.isfinite(samples))
    if len(bad):
        raise UnreadableError(
            f"{name}: values must be finite, got NaN or infinity at sample {bad[0]} ({bad[0] / found:.3f} s); repair it"
        )
    clipped = bool(np.abs(samples).max() > 1.0)
    resampled = samples if rate is None else resample(samples, found, rate)
    return Recording(resampled, len(samples), found, channels, file_format, clipped)


def _mono(file: Any, name: str) -> NDArray[np.float32]:
    """Read the mean of all channels, block by block, so that only the result is in memory as a whole.

    The length in the header may be unknown or false. The memory of values that are not read is not used.
    """
    samples, total = np.empty(min(int(file.frames), _MAX_SAMPLES), np.float32), 0
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        if total + len(block) > len(samples):
            raise UnreadableError(
                f"{name}: must have at most {_MAX_SAMPLES:,} samples, got more; cut it into shorter files"
            )
        samples[total : total + len(block)] = block.mean(axis=1)
        total += len(block)
    return samples[:total]


def wav_bytes(samples: NDArray[Any], rate: int) -> bytes:
    """Encode a mono recording as a WAV file with 16 bits per sample. Equal recordings give identical bytes.

    Args:
        samples: (n,) values from -1 to 1, or int16.
        rate: Sampling rate in Hz.
    """
    import wave

    words = samples if samples.dtype == np.int16 else to_words(samples)
    target = BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(words.astype("<i2").tobytes())
    return target.getvalue()


def to_words(samples: NDArray[Any]) -> NDArray[np.int16]:
    """Convert values from -1 to 1 to 16 bits; values outside the range are clipped."""
    return np.asarray(np.rint(np.clip(samples, -1.0, 1.0) * 32767.0), np.int16)


def from_words(words: NDArray[np.int16]) -> NDArray[np.float32]:
    """Convert 16 bits to values from -1 to 1."""
    return words.astype(np.float32) / np.float32(32767.0)


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the library libsndfile is missing
        raise UserError(
            'data.source: recordings need the package soundfile; run `make extras EXTRAS="audio"`'
        ) from None
    return soundfile
