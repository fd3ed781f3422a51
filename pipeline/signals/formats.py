"""The formats of inputs that params.yaml declares, for the lengths of the data."""

from collections import Counter
from collections.abc import Iterable

from pipeline.data.audio_format import AudioFormat
from pipeline.data.series_format import SeriesFormat
from pipeline.errors import UserError
from pipeline.sections.signals import AudioParams, SeriesParams

_SHOWN = 5


def audio_format(params: AudioParams) -> AudioFormat:
    """Return the format of the section `data.audio`, with times as numbers of samples."""
    piece = round(params.seconds * params.rate)
    return AudioFormat(
        rate=params.rate,
        piece=piece,
        piece_hop=piece if params.hop_seconds is None else max(1, round(params.hop_seconds * params.rate)),
        window=min(piece, round(params.window_ms * params.rate / 1000)),
        hop=round(params.hop_ms * params.rate / 1000),
        bands=params.bands,
        low=params.low,
        high=params.rate / 2 if params.high is None else params.high,
        floor_db=params.floor_db,
    )


def series_format(
    params: SeriesParams,
    lengths: Iterable[int],
    channels: int,
    where: str,
    names: tuple[str, ...] = (),
    step: float | None = None,
) -> SeriesFormat:
    """Return the format of the section `data.series`.

    Without `params.window`, an input is a whole series. Its length is that of the series if all are equally long;
    otherwise that of the longest one for pad and stretch, and that of the shortest one for crop.

    Args:
        params: The section `data.series`.
        lengths: Time steps of each training series; at least one.
        channels: Number of channels of the series.
        where: The source, in messages.
        names: Names of the channels; empty if the files have none.
        step: Median time step in seconds; None: the series are resampled, or have no time stamps.

    Raises:
        UserError: There are several lengths, and `params.lengths` is error.
    """
    window, hop = params.window, params.window if params.hop is None else params.hop
    if window is None:
        found = Counter(lengths)
        if len(found) > 1 and params.lengths == "error":
            shown = ", ".join(f"{length} ({count})" for length, count in found.most_common(_SHOWN))
            more = f" and {len(found) - _SHOWN} other lengths" if len(found) > _SHOWN else ""
            raise UserError(
                f"{where}: all series must have the same length, got {shown}{more}; set data.series.lengths: pad, crop "
                "or stretch, or data.series.window to cut them into windows"
            )
        window = min(found) if params.lengths == "crop" else max(found)
    return SeriesFormat(
        window=window,
        channels=channels,
        hop=hop,
        rate=params.rate,
        time_column=params.time_column,
        lengths=params.lengths,
        missing=params.missing,
        names=names,
        step=step,
    )
