"""The other backends give the same results as TensorFlow, whose tests compare it with Keras layers."""

import os
import pickle
import subprocess
import sys
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from pipeline.training.fit import fit
from tests.installed import NEEDS_TORCH
from tests.pipeline.trainers.test_trainer_tensorflow import SAMPLE, data_for, plan_for, started
from tests.pipeline.training.trainings import PLAIN, ROOT, figures, training, with_weights

PLAIN_DATA = figures(train=70, val=40)
WEIGHTED = with_weights(PLAIN_DATA)
SETTINGS: dict[str, dict[str, Any]] = {
    "adam, weighted": {"label_smoothing": 0.2, "class_weight": "balanced", "schedule": "cosine"},
    "squared error": {"loss": "squared_error", "optimizer": "sgd"},
    "sgd": {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.1, "schedule": "one_cycle"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "averages": {"average_weights": True, "first_layer": "whitening"},
}
DATA = {name: WEIGHTED if "weighted" in name else PLAIN_DATA for name in SETTINGS}
SHARES = (0.4, 1.0, 1.0)
SOME = SAMPLE[::4]
# Trains in another process, since a process has one backend. Reads and writes pickles: (settings, steps).
SCRIPT = """
import pickle, sys
from dataclasses import astuple
from pathlib import Path
from pipeline.backend.name import backend_name
from pipeline.backend.runtime import start_backend
start_backend()
import numpy as np
from pipeline.trainers import trainer as settings
from pipeline.trainers.cache import TRAINER_CACHE, make_trainer
from pipeline.training.fit import fit

trainings, steps = pickle.loads(Path(sys.argv[1]).read_bytes())
histories = [[astuple(entry) for entry in fit(**arguments).history] for arguments in trainings]
TRAINER_CACHE.clear()
settings.CHUNK_STEPS = 2
if backend_name() == "jax":
    from pipeline.trainers import steps_jax
    steps_jax.is_jax_on_a_processor = lambda: False  # with a loop over both batches, as on a GPU
histories.append([astuple(entry) for entry in fit(**trainings[0]).history])
found = []
for plan, data in steps:
    trainer = make_trainer(plan)
    trainer.start(plan, None)
    loss, _ = trainer.train(data.train.images, data.train.labels, np.arange(len(data.train.labels)))
    found.append((loss, trainer.weights(), trainer.evaluate(data.val.images, data.val.labels)))
Path(sys.argv[2]).write_bytes(pickle.dumps((histories, found)))
"""


Results = tuple[list[Any], list[Any]]


@pytest.fixture(scope="module", params=["jax", pytest.param("torch", marks=NEEDS_TORCH)])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Results of a backend: histories for the settings; loss, weights and metrics after one step for the sample."""
    folder = tmp_path_factory.mktemp(request.param)
    trainings = [
        {"architecture": PLAIN, "training": training(**settings), "data": DATA[name], "seed": 1, "shares": SHARES}
        for name, settings in SETTINGS.items()
    ]
    steps = [(plan_for(architecture, data), data) for architecture in SOME for data in [data_for(architecture)]]
    (folder / "asked").write_bytes(pickle.dumps((trainings, steps)))
    command = [sys.executable, "-c", SCRIPT, str(folder / "asked"), str(folder / "found")]
    environment = os.environ | {"KERAS_BACKEND": request.param}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    found: Results = pickle.loads((folder / "found").read_bytes())
    return found


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.slow
def test_another_backend_trains_and_evaluates_like_tensorflow(name: str, results: Results) -> None:
    expected = fit(PLAIN, training(**SETTINGS[name]), DATA[name], seed=1, shares=SHARES)
    history = results[0][list(SETTINGS).index(name)]
    for entry, other in zip(history, expected.history, strict=True):
        assert entry == pytest.approx(astuple(other), rel=1e-3)


@pytest.mark.slow
def test_another_backend_gives_the_same_results_in_chunks_of_two_batches(results: Results) -> None:
    for entry, other in zip(results[0][-1], results[0][0], strict=True):
        assert entry == pytest.approx(other, rel=1e-6)


@pytest.mark.parametrize("place", range(len(SOME)), ids=lambda place: SOME[place].digest)
@pytest.mark.slow
def test_a_step_in_another_backend_equals_one_in_tensorflow(place: int, results: Results) -> None:
    architecture = SOME[place]
    data = data_for(architecture)
    trainer = started(plan_for(architecture, data))
    expected_loss, _ = trainer.train(data.train.images, data.train.labels, np.arange(len(data.train.labels)))
    loss, weights, metrics = results[1][place]
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    for value, other in zip(weights, trainer.weights(), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-3, atol=1e-4)
    assert astuple(metrics) == pytest.approx(astuple(trainer.evaluate(data.val.images, data.val.labels)), rel=1e-2)
