"""Sections of params.yaml for tests: the committed file's, with changes."""

from pathlib import Path
from typing import Any

from pipeline.params import DataParams, Params
from pipeline.params_file import load_params, validate

ROOT = Path(__file__).resolve().parents[2]


def params(**changes: Any) -> Params:
    """The committed params.yaml with whole sections replaced."""
    content = load_params(ROOT / "params.yaml").model_dump(mode="json", by_alias=True) | changes
    return validate(Params, content, "params.yaml")


def data_params(**changes: Any) -> DataParams:
    """The committed `data:` section with changes; `xo` may be a part of its keys."""
    content = load_params(ROOT / "params.yaml").data.model_dump(mode="json")
    changes["xo"] = content["xo"] | changes.get("xo", {})
    return validate(DataParams, content | changes, "params.yaml: data")
