"""Inspect any data source within seconds and without TensorFlow."""

from collections.abc import Callable, Mapping

from pipeline.sections import DataParams
from pipeline.surveys.array_survey import survey_arrays
from pipeline.surveys.audio_survey import survey_audio
from pipeline.surveys.image_survey import survey_huggingface, survey_images
from pipeline.surveys.series_survey import survey_series, survey_ts
from pipeline.surveys.survey import Survey
from pipeline.surveys.volume_survey import survey_volumes

# (section `data`, part of `data.source` after the colon, seed) -> survey, for sources that consist of files.
_SURVEYS: Mapping[str, Callable[[DataParams, str, int], Survey]] = {
    "images": survey_images,
    "huggingface": survey_huggingface,
    "series": survey_series,
    "ts": survey_ts,
    "audio": survey_audio,
    "volumes": survey_volumes,
}


def inspect_source(data: DataParams, seed: int) -> Survey:
    """Inspect the source that `data.source` names.

    Args:
        data: The section `data`.
        seed: Seed of generated images, and of what is drawn for the inspection.

    Raises:
        UserError: The source is missing, or not valid for its kind.
    """
    kind, _, place = data.source.partition(":")
    return _SURVEYS.get(kind, survey_arrays)(data, place, seed)
