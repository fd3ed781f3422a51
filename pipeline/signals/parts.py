"""Cut series and recordings into the inputs of a network, as parts of a source."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.audio_format import AudioFormat
from pipeline.data.rows import MappedRows, Rows
from pipeline.data.series_format import SeriesFormat
from pipeline.signals.audio_input import fill_up, spectrograms
from pipeline.signals.log_mel import mel_filters, transform_size
from pipeline.signals.window_rows import (
    LongSample,
    WindowedParts,
    WindowRows,
    cut_in_time,
    cut_samples,
    whole_samples,
    windowed_parts,
)
from pipeline.signals.windows import fit_length


def series_parts(
    samples: Sequence[LongSample],
    read: Callable[[int], NDArray[np.float32]],
    form: SeriesFormat,
    in_time: tuple[float, float] | None,
    where: str,
) -> WindowedParts:
    """Cut series into inputs.

    Args:
        samples: The series.
        read: Function from the number of a series to its (time, channels) values.
        form: The format of the network's inputs.
        in_time: Fractions of validation and test, if each series is divided in time; None: it belongs to one split.
        where: The source, in messages.

    Raises:
        UserError: A series is too short, or has a length that cannot be converted.
    """
    if form.hop is None:
        windows = whole_samples(samples, form.window, form.lengths, where)
    elif in_time is not None:
        windows = cut_in_time(samples, form.window, form.hop, *in_time, where)
    else:
        windows = cut_samples(samples, form.window, form.hop, form.lengths in ("pad", "stretch"), where)
    fit = partial(fit_length, window=form.window, lengths=form.lengths, name=where)
    shape = (form.window, form.channels)
    return windowed_parts(windows, lambda spans: WindowRows(read, spans, fit, shape, np.dtype(np.float32)))


def recording_parts(
    samples: Sequence[LongSample], read: Callable[[int], NDArray[np.int16]], form: AudioFormat, where: str
) -> tuple[WindowedParts, dict[str, Rows]]:
    """Cut recordings into pieces, which are spectrograms as inputs.

    Args:
        samples: The recordings.
        read: Function from the number of a recording to its (n,) values.
        form: The format of the network's inputs.
        where: The source, in messages.

    Raises:
        UserError: There are too many bands for the length of the window.

    Returns:
        The parts, and the sound of each input: (n, form.piece) values by split.
    """
    mel_filters(form.rate, transform_size(form.window), form.bands, form.low, form.high)  # refuses too many bands
    windows = cut_samples(samples, form.piece, form.piece_hop, True, where)
    fit, shape = partial(fill_up, piece=form.piece), (form.piece,)
    sound = windowed_parts(windows, lambda spans: WindowRows(read, spans, fit, shape, np.dtype(np.int16)))
    parts = {split: (_spectrogram_rows(pieces, form), labels) for split, (pieces, labels) in sound.parts.items()}
    return sound._replace(parts=parts), {split: pieces for split, (pieces, _) in sound.parts.items()}


def _spectrogram_rows(pieces: Rows, form: AudioFormat) -> Rows:
    def convert(values: NDArray[Any]) -> NDArray[np.float32]:
        return spectrograms(values, form)

    return MappedRows(pieces, convert, form.input_shape, np.dtype(np.float32))
