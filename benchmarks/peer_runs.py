"""The peers in benchmarks/peers.py, and the space, the clock and the log that all competitors share."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from peer_data import fashion

from pipeline.data.training_data import TrainingData

# The search space of all competitors. Convolutions keep the size of the feature map (padding "same"), and the strides
# of a pooling equal its window of 2 or 3. So every network is valid on 28×28; the smallest maps are 28 → 9 → 3 → 1.
FILTERS, KERNELS, WINDOWS, POOLINGS = [8, 16, 32], [3, 5], [2, 3], ["max", "average"]
HEADS = ["flatten", "global_average"]
MAX_BLOCKS, MAX_CONVS, MAX_DROPOUT = 3, 2, 0.5
MIN_UNITS, MAX_UNITS = 32, 128
MIN_RATE, MAX_RATE = 1e-4, 1e-2
EPOCHS, FACTOR = 10, 3
ENDLESS = 1_000_000


@dataclass
class Run:
    """Run of a competitor, with its log.

    Attributes:
        log: File of JSON lines.
        began: Start of the process, in seconds since 1970.
        seconds: Time limit.
        folder: Folder of the Fashion-MNIST IDX files.
        train: Number of training images.
        val: Number of validation images.
        threads: Number of processors that the competitor may use.
        batch_size: Batch size.
        seed: Seed of the sampler and of the training.
        variant: Name of the competitor.
        trial: Number of the current network; -1 before the first.
        best: Best validation accuracy so far.
        best_trial: Number of the network with the best validation accuracy; -1 before the first epoch.
    """

    log: Path
    began: float
    seconds: float
    folder: str
    train: int
    val: int
    threads: int
    batch_size: int
    seed: int
    variant: str
    trial: int = -1
    best: float = 0.0
    best_trial: int = -1

    def __deepcopy__(self, _: dict[int, Any]) -> "Run":
        return self  # KerasTuner copies callbacks for each trial

    def write(self, **content: Any) -> None:
        """Append a line to the log."""
        with self.log.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(content) + "\n")

    def epoch(self, trial: int, epoch: int, val_accuracy: float) -> None:
        """Log a finished epoch of a network."""
        if val_accuracy > self.best:
            self.best, self.best_trial = val_accuracy, trial
        self.write(
            seconds=round(time.time() - self.began, 3),
            trial=trial, epoch=epoch, val_accuracy=val_accuracy, best=self.best, best_trial=self.best_trial,
        )  # fmt: skip

    def seconds_left(self) -> float:
        """Return the seconds until the time limit; negative after it."""
        return self.seconds - (time.time() - self.began)

    def data(self) -> TrainingData:
        """Return the images, which are the same for all competitors."""
        return fashion(Path(self.folder), self.train, self.val)


@contextmanager
def until_time_is_up(seconds_left: Callable[[], float]) -> Iterator[None]:
    """Leave the block when the time is up, by a KeyboardInterrupt, which no library suppresses and Ray supports."""

    def on_alarm(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, on_alarm)
    # Repeated, because Python discards an exception that is raised while an object is destroyed.
    signal.setitimer(signal.ITIMER_REAL, max(0.1, seconds_left()), 5.0)
    try:
        yield
    except KeyboardInterrupt:
        if seconds_left() > 0:
            raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def keras_tuner(run: Run) -> None:
    """Run KerasTuner's Hyperband as in its documentation."""
    import keras
    import keras_tuner as kt

    def build(hp: kt.HyperParameters) -> keras.Model:
        return _network(
            blocks=hp.Int("blocks", 1, MAX_BLOCKS),
            convs=hp.Int("convs", 1, MAX_CONVS),
            filters=hp.Choice("filters", FILTERS),
            kernel_size=hp.Choice("kernel_size", KERNELS),
            pooling=hp.Choice("pooling", POOLINGS),
            pool_size=hp.Choice("pool_size", WINDOWS),
            dropout=hp.Float("dropout", 0.0, MAX_DROPOUT),
            head=hp.Choice("head", HEADS),
            units=hp.Int("units", MIN_UNITS, MAX_UNITS, sampling="log"),
            learning_rate=hp.Float("learning_rate", MIN_RATE, MAX_RATE, sampling="log"),
        )

    (x, y), validation = _arrays(run)
    with until_time_is_up(run.seconds_left):
        tuner = kt.Hyperband(
            build, objective="val_accuracy", max_epochs=EPOCHS, factor=FACTOR, hyperband_iterations=ENDLESS,
            seed=run.seed, directory=str(Path.cwd()), project_name="tuner",
        )  # fmt: skip
        stop_early = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5)
        tuner.search(
            x, y, validation_data=validation, epochs=EPOCHS, batch_size=run.batch_size, verbose=0,
            callbacks=[stop_early, _logging(run)],
        )  # fmt: skip
    trials = list(tuner.oracle.trials.values())
    run.write(
        trials=sum(trial.status == "COMPLETED" for trial in trials),
        networks=sum("tuner/trial_id" not in trial.hyperparameters.values for trial in trials),
        failed=sum(trial.status in ("FAILED", "INVALID") for trial in trials),
    )


def plain_optuna(run: Run) -> None:
    """Run a script like Optuna's Keras examples, with TPE, the median pruner and a pruning callback."""
    import keras
    import optuna
    from optuna.trial import TrialState

    class Pruning(keras.callbacks.Callback):
        def __init__(self, trial: optuna.Trial) -> None:
            super().__init__()
            self.trial = trial

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            self.trial.report(logs["val_accuracy"], step=epoch)
            if self.trial.should_prune():
                raise optuna.TrialPruned

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        network = _network(
            blocks=trial.suggest_int("blocks", 1, MAX_BLOCKS),
            convs=trial.suggest_int("convs", 1, MAX_CONVS),
            filters=trial.suggest_categorical("filters", FILTERS),
            kernel_size=trial.suggest_categorical("kernel_size", KERNELS),
            pooling=trial.suggest_categorical("pooling", POOLINGS),
            pool_size=trial.suggest_categorical("pool_size", WINDOWS),
            dropout=trial.suggest_float("dropout", 0.0, MAX_DROPOUT),
            head=trial.suggest_categorical("head", HEADS),
            units=trial.suggest_int("units", MIN_UNITS, MAX_UNITS, log=True),
            learning_rate=trial.suggest_float("learning_rate", MIN_RATE, MAX_RATE, log=True),
        )
        history = network.fit(
            x, y, validation_data=validation, epochs=EPOCHS, batch_size=run.batch_size, verbose=0,
            callbacks=[_logging(run), Pruning(trial)],
        )  # fmt: skip
        return float(history.history["val_accuracy"][-1])

    (x, y), validation = _arrays(run)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=run.seed), pruner=optuna.pruners.MedianPruner()
    )
    with until_time_is_up(run.seconds_left):
        study.optimize(objective, timeout=max(0.1, run.seconds_left()))
    over = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    run.write(trials=len(over), networks=run.trial + 1)


def _arrays(run: Run) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return (images scaled to [0, 1], labels) of the training and of the validation split."""
    data = run.data()
    train, val = ((split.images.astype("float32") / 255.0, split.labels) for split in (data.train, data.val))
    return train, val


def _logging(run: Run) -> Any:
    import keras

    class Logging(keras.callbacks.Callback):
        def __init__(self, run: Run) -> None:
            super().__init__()
            self.run = run

        def on_train_begin(self, logs: Any = None) -> None:
            self.run.trial += 1

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            self.run.epoch(self.run.trial, epoch + 1, float(logs["val_accuracy"]))

    return Logging(run)


def _network(
    blocks: int, convs: int, filters: int, kernel_size: int, pooling: str, pool_size: int, dropout: float, head: str,
    units: int, learning_rate: float,
) -> Any:  # fmt: skip
    """Return the network of a peer, built from Keras layers and compiled with default settings."""
    import keras
    from keras import layers

    network = keras.Sequential([keras.Input((28, 28, 1))])
    pool = layers.MaxPooling2D if pooling == "max" else layers.AveragePooling2D
    for block in range(blocks):
        for _ in range(convs):
            network.add(layers.Conv2D(filters * 2**block, kernel_size, padding="same", activation="relu"))
        network.add(pool(pool_size))
        network.add(layers.Dropout(dropout))
    network.add(layers.Flatten() if head == "flatten" else layers.GlobalAveragePooling2D())
    network.add(layers.Dense(units, activation="relu"))
    network.add(layers.Dense(10, activation="softmax"))
    adam = keras.optimizers.Adam(learning_rate)
    network.compile(optimizer=adam, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return network
