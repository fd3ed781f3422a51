"""Parameters for tests: those of the committed params.yaml, with changes."""

from pathlib import Path
from typing import Any

from pipeline.params_file import validate
from pipeline.sections import DataParams, EvaluateParams, Params
from pipeline.sections.load import load_params

ROOT = Path(__file__).resolve().parents[2]


def params(**changes: Any) -> Params:
    """The committed params.yaml with whole sections replaced."""
    content = load_params(ROOT / "params.yaml").model_dump(mode="json", by_alias=True) | changes
    return validate(Params, content, "params.yaml")


def params_with(**sections: Any) -> Params:
    """The committed params.yaml with whole sections replaced by values; `register_` is the section `register`."""
    return load_params(ROOT / "params.yaml").model_copy(update=sections)


def data_params(**changes: Any) -> DataParams:
    """The committed `data:` section with changes; `xo` may contain only some of its keys."""
    content = load_params(ROOT / "params.yaml").data.model_dump(mode="json")
    changes["xo"] = content["xo"] | changes.get("xo", {})
    return validate(DataParams, content | changes, "params.yaml: data")


def evaluate_params(**changes: Any) -> EvaluateParams:
    """The committed `evaluate:` section with changes."""
    return load_params(ROOT / "params.yaml").evaluate.model_copy(update=changes)
