"""Report the misclassified recordings with a player for each."""

from base64 import b64encode
from typing import Any

from markupsafe import Markup

from pipeline.data.audio_format import AudioFormat
from pipeline.errors import plural
from pipeline.evaluation.evaluation import Evaluation
from pipeline.pages.tables import Cell, Column, table
from pipeline.plots.evaluation import worst_first
from pipeline.report.builder import ReportBuilder
from pipeline.signals.recording import wav_bytes

_MAX_BYTES = 6 * 2**20  # of all recordings on the page
_PLAYER = Markup('<audio controls preload="none" src="data:audio/wav;base64,{}"></audio>')


def add_listening_section(report: ReportBuilder, evaluation: Evaluation) -> None:
    """Add the misclassified recordings with the highest confidence, as the network received them.

    Nothing is added for other kinds of data, and if there are no mistakes.

    Args:
        report: Report to extend.
        evaluation: The network, the data and the settings.
    """
    recordings, form = evaluation.test.recordings, evaluation.data.dataset.input_format
    wrong = worst_first(evaluation.predictions)
    if recordings is None or not isinstance(form, AudioFormat) or not len(wrong):
        return
    shown = wrong[: max(1, min(evaluation.params.mistakes, _MAX_BYTES // (2 * recordings.shape[1])))]
    rows = [_row(evaluation, int(place), recordings[place], form.rate) for place in shown]
    heads = [Column("recording"), Column("actual"), Column("predicted"), Column("probability", number=True)]
    caption = (
        f"The {len(rows)} of {len(wrong):,} {plural(len(wrong), 'mistake')} with the highest confidence: mono, at "
        f"{form.rate:,} Hz, as the network received them"
    )
    report.sections.append(
        report.section(
            "listening",
            "Listen to the mistakes",
            "listening",
            recordings=table(caption, [*heads, Column("listen")], rows, sortable=True),
        )
    )


def _row(evaluation: Evaluation, place: int, samples: Any, rate: int) -> list[str | Cell]:
    predictions, test = evaluation.predictions, evaluation.test
    confidence = float(predictions.confidence[place])
    sound = b64encode(wav_bytes(samples, rate)).decode("ascii")
    return [
        test.names[place] if test.names else f"test {place}",
        evaluation.classes[predictions.labels[place]],
        evaluation.classes[predictions.predicted[place]],
        Cell(f"{confidence:.4f}", confidence),
        Cell(_PLAYER.format(sound), float(place)),
    ]
