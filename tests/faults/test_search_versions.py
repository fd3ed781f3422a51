"""Workers with other versions than the driver of a study."""

from typing import cast

import pytest

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from pipeline.params import RayParams
from search.engine import ray_engine
from search.engine.ray_engine import RayEngine
from search.study.job import Job
from tests.pipeline.training.trainings import PLAIN, training
from tests.search.work import learn


@pytest.mark.long
def test_a_worker_with_other_versions_than_the_driver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray worker whose libraries or code differ from those of the driver trains nothing; the difference is named.

    Starts a real Ray worker, and lets the driver claim another version of Keras.
    """
    expected = ray_engine.training_versions() | {"keras": "9.9.9"}
    monkeypatch.setattr(ray_engine, "training_versions", lambda: expected)
    settings = RayParams(address=None, cpus=0.5, gpus=0.0, memory_gb=None)
    engine = RayEngine(cast(TrainingData, None), settings, 1, threads=1, work=learn)
    try:
        engine.submit(0, Job(PLAIN, training(), seed=1, shares=(1.0,), until=1, state=None))
        with pytest.raises(UserError, match=r"other versions than the driver of .*: keras .* instead of 9\.9\.9;"):
            engine.wait(0)
    finally:
        engine.close()
