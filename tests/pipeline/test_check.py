"""The stage `check`."""

from pathlib import Path

import pytest

from pipeline import check
from pipeline.check import Paths, run
from pipeline.errors import UserError
from pipeline.params.model import BackboneParams
from tests.pipeline.param_sections import data_params, params_with
from tests.pipeline.training.trainings import training


def test_valid_params_are_reported(tmp_path: Path) -> None:
    run(params_with(), Paths(tmp_path / "reports/check.txt"))
    assert (tmp_path / "reports/check.txt").read_text() == "params.yaml: valid\n"


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_more_gpus_than_the_machine_has_are_refused_before_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int
) -> None:
    monkeypatch.setattr(check, "gpu_handles", lambda: (None, [None] * gpus) if gpus else None)
    paths, params = Paths(tmp_path / "check.txt"), params_with(training=training(gpus=2))
    if gpus == 2:
        run(params, paths)
        return
    with pytest.raises(UserError, match=rf"training\.gpus: must not exceed .* of this machine, got 2, found {gpus};"):
        run(params, paths)
    assert not paths.report.exists()


@pytest.mark.parametrize(
    ("source", "weights", "message"),
    [
        ("digits", "missing.weights.h5", "missing.weights.h5: no such file; it is never downloaded"),
        (
            "digits",
            "https://example.com/x.h5",
            "must be a file on this machine, got the address https://example.com/x.h5;",
        ),
        ("ts:data/raw/x", None, "mobilenet requires images, got ts:data/raw/x; set it to null"),
    ],
)
def test_a_backbone_that_cannot_work_is_refused_before_the_data_are_read(
    tmp_path: Path, source: str, weights: str | None, message: str
) -> None:
    params = params_with(data=data_params(source=source))
    fine_tune = "none" if weights else "all"
    backbone = BackboneParams(name="mobilenet", weights=weights, fine_tune=fine_tune)
    params = params.model_copy(update={"model": params.model.model_copy(update={"backbone": backbone})})
    with pytest.raises(UserError, match=message):
        run(params, Paths(tmp_path / "check.txt"))
