"""The formats of inputs that params.yaml declares."""

from pipeline.data.audio_format import AudioFormat
from pipeline.sections.signals import AudioParams


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
