import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.tracking.record import RunRecord, read_record, write_record


def test_a_record_survives_a_round_trip_through_a_file(tmp_path: Path, training: RunRecord) -> None:
    training.metrics.append(("loss", 1, 0.5))
    training.children.append(RunRecord("trial", "t", "trial 0", status="KILLED", reason="pruned"))
    write_record(training, tmp_path / "run.json")
    assert read_record(tmp_path / "run.json") == training


def test_equal_records_produce_equal_bytes(tmp_path: Path, training: RunRecord) -> None:
    write_record(training, tmp_path / "a.json")
    write_record(read_record(tmp_path / "a.json"), tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_non_finite_loss_is_preserved(tmp_path: Path, training: RunRecord) -> None:
    training.metrics += [("loss", 1, math.nan), ("loss", 2, math.inf)]
    write_record(training, tmp_path / "run.json")
    values = [value for _, _, value in read_record(tmp_path / "run.json").metrics]
    assert math.isnan(values[0])
    assert values[1] == math.inf


def test_numpy_numbers_are_written_as_numbers(tmp_path: Path, training: RunRecord) -> None:
    training.metrics.append(("loss", int(np.int64(1)), np.float32(0.5)))  # type: ignore[arg-type]
    write_record(training, tmp_path / "run.json")
    assert read_record(tmp_path / "run.json").metrics == [("loss", 1, 0.5)]


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "training"}', '{"nonsense": 1}'])
def test_a_damaged_record_is_reported(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(UserError, match="must be the record of a run"):
        read_record(path)
