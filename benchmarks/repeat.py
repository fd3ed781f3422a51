"""Compare repeated and killed studies of KerasTuner, a plain Optuna script and AutoKeras.

Needs `pip install keras-tuner autokeras tensorboard` in addition to the lock file. Each study searches on the
handwritten digits with a fixed seed, and with the seed of Keras and deterministic TensorFlow operations, as the
documentation of Keras recommends. Each study runs twice. It then runs once more, is ended by SIGKILL after a few
trials, and is restarted as the documentation of the tool describes. The script compares the sampled values and the
validation accuracy of each trial. Fovea is not part of this script: tests/search/test_stage.py compares the bytes of
all its files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from table import machine, require_packages

PEERS = ("KerasTuner", "plain Optuna", "AutoKeras")
TRIALS, EPOCHS = 12, 3
AUTOKERAS_TRIALS = 4  # its networks are large
KILLED_AFTER = {"KerasTuner": 4, "plain Optuna": 4, "AutoKeras": 2}  # number of finished trials
# Words in the line that a tool prints for each finished trial.
FINISHED = ("Trial", "Complete"), ("Trial", "finished with value")


def main() -> None:
    """Run the studies and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        trials = dict(zip(PEERS, (_keras_tuner, _optuna, _autokeras), strict=True))[arguments.run](arguments.folder)
        (arguments.folder / "trials.json").write_text(json.dumps(trials))
        return
    require_packages("repeat.py", "keras-tuner", "autokeras", "tensorboard")
    print(machine())
    print("\n| | trials | identical when repeated | identical when killed and restarted |")
    print("| --- | --- | --- | --- |", flush=True)
    for name in PEERS:
        with tempfile.TemporaryDirectory() as temporary:
            first, second, killed = (Path(temporary, each) for each in ("first", "second", "killed"))
            for folder in (first, second, killed):
                folder.mkdir()
            whole = _study(name, first)
            repeated = _study(name, second)
            _study(name, killed, KILLED_AFTER[name])
            resumed = _study(name, killed)
            print(
                f"| {name} | {len(whole)} | {_count_identical(whole, repeated)} | {_count_identical(whole, resumed)} |",
                flush=True,
            )


def _study(name: str, folder: Path, killed_after: int | None = None) -> list[Any]:
    """Run a study in a separate process and return its trials. The list is empty if the study is killed or fails."""
    command = [sys.executable, __file__, "--run", name, "--folder", str(folder)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        finished, line = 0, ""
        for line in process.stdout:
            finished += any(all(word in line for word in words) for words in FINISHED)
            if finished == killed_after:
                process.kill()
    if killed_after is None and process.returncode:
        print(f"{name} ended with status {process.returncode}: {line.strip()}", file=sys.stderr)
    if process.returncode:
        return []
    trials: list[Any] = json.loads((folder / "trials.json").read_text())
    return trials


def _count_identical(one: list[Any], other: list[Any]) -> str:
    if not other:
        return "ended with an error"
    return f"{sum(trial in other for trial in one)} of {max(len(one), len(other))}"


def _data() -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images[..., None].astype("float32") / 16
    return tuple(train_test_split(images, digits.target, test_size=0.2, random_state=1))  # type: ignore[return-value]


def _seeded() -> Any:
    """Return the module keras, with fixed seeds and deterministic operations."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()
    return keras


def _network(keras: Any, filters: int, kernel: int, dropout: float, rate: float) -> Any:
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(filters, kernel, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adam(rate)
    network.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def _keras_tuner(folder: Path) -> list[Any]:
    keras = _seeded()
    import keras_tuner

    def build(hp: Any) -> Any:
        return _network(
            keras,
            hp.Choice("filters", [8, 16, 32]),
            hp.Choice("kernel", [3, 5]),
            hp.Float("dropout", 0.0, 0.5, step=0.1),
            hp.Float("rate", 1e-3, 1e-1, sampling="log"),
        )

    images, val_images, labels, val_labels = _data()
    tuner = keras_tuner.BayesianOptimization(
        build, "val_accuracy", max_trials=TRIALS, seed=1, directory=folder, project_name="study", overwrite=False
    )
    tuner.search(images, labels, epochs=EPOCHS, validation_data=(val_images, val_labels), verbose=1)
    return _of_oracle(tuner)


def _of_oracle(tuner: Any) -> list[Any]:
    return [[trial.hyperparameters.values, trial.score] for trial in tuner.oracle.trials.values()]


def _autokeras(folder: Path) -> list[Any]:
    keras = _seeded()
    import autokeras
    from autokeras.blocks import heads

    # As in small_peers.py: AutoKeras 3.0.0 passes a NumPy integer to Dense, which Keras 3.15 rejects.
    layers = keras.layers
    heads.layers = SimpleNamespace(**{**vars(layers), "Dense": lambda units: layers.Dense(int(units))})
    images, val_images, labels, val_labels = _data()
    found = autokeras.ImageClassifier(max_trials=AUTOKERAS_TRIALS, seed=1, directory=folder, project_name="study")
    found.fit(images, labels, epochs=EPOCHS, validation_data=(val_images, val_labels), verbose=1)
    return _of_oracle(found.tuner)


def _optuna(folder: Path) -> list[Any]:
    keras = _seeded()
    import optuna

    images, val_images, labels, val_labels = _data()

    def objective(trial: optuna.Trial) -> float:
        network = _network(
            keras,
            trial.suggest_categorical("filters", [8, 16, 32]),
            trial.suggest_categorical("kernel", [3, 5]),
            trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
            trial.suggest_float("rate", 1e-3, 1e-1, log=True),
        )
        network.fit(images, labels, epochs=EPOCHS, verbose=0)
        return float(network.evaluate(val_images, val_labels, verbose=0)[1])

    study = optuna.create_study(
        storage=f"sqlite:///{folder}/optuna.db", study_name="study", direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=1), load_if_exists=True,
    )  # fmt: skip
    finished = optuna.study.MaxTrialsCallback(TRIALS, states=(optuna.trial.TrialState.COMPLETE,))
    study.optimize(objective, callbacks=[finished])
    return [[trial.params, trial.value] for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))]


if __name__ == "__main__":
    main()
