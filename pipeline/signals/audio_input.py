"""Convert a recording to inputs of a network: log-mel spectrograms of its pieces."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data.audio_format import AudioFormat
from pipeline.signals.log_mel import log_mel
from pipeline.signals.recording import from_words, read_recording, to_words
from pipeline.signals.windows import cut


def fill_up(samples: NDArray[np.int16], piece: int) -> NDArray[np.int16]:
    """Continue a recording that is shorter than a piece with silence.

    Args:
        samples: (n,) values.
        piece: Number of samples of a piece.
    """
    return samples if len(samples) >= piece else np.pad(samples, (0, piece - len(samples)))


def spectrograms(pieces: NDArray[np.int16], form: AudioFormat) -> NDArray[np.float32]:
    """Convert pieces to log-mel spectrograms.

    Args:
        pieces: (n, form.piece) values of 16 bits.
        form: The format of the network's inputs.

    Returns:
        (n, *form.input_shape) decibels from `form.floor_db` to 0: time, then bands from low to high.

    Raises:
        UserError: There are too many bands for the length of the window.
    """
    result = np.empty((len(pieces), *form.input_shape), np.float32)
    for place, piece in enumerate(pieces):
        result[place, ..., 0] = log_mel(
            from_words(piece),
            rate=form.rate,
            window=form.window,
            hop=form.hop,
            bands=form.bands,
            low=form.low,
            high=form.high,
            floor_db=form.floor_db,
        )
    return result


def read_audio_inputs(source: Path | bytes, name: str, form: AudioFormat) -> NDArray[np.float32]:
    """Read a recording as inputs, in the same way as during training.

    Args:
        source: Path or content of a WAV, FLAC or OGG file.
        name: Name of the recording in messages.
        form: The format of the network's inputs.

    Returns:
        (pieces, *form.input_shape) values; the prediction for the recording is the mean of theirs.

    Raises:
        UnreadableError: The file cannot be read.
        UserError: The package soundfile is not installed.
    """
    words = fill_up(to_words(read_recording(source, name, form.rate).samples), form.piece)
    return spectrograms(cut(words, form.piece, form.piece_hop), form)
