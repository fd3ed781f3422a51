"""What to know of a candidate before it is trained to the end, and in which order and rungs to train candidates.

Draws candidates from the space of `peers.py`, and trains all of them to the end on part of Fashion-MNIST.

signals: Rank correlation of numbers that are known early with the final validation accuracy: the cost; signals of the
    untrained network; the accuracy after some epochs, with a learning rate schedule that spans all epochs or that ends
    there. And how many of the final best third are in the best two thirds by the signal (the lowest values, if the
    correlation is negative), so that a pruner would keep them.
    Gradient norm: of the loss of a batch. Source: Abdelfattah et al. (2021), "Zero-Cost Proxies for Lightweight NAS".
    NASWOT: log-determinant of the kernel of ReLU patterns. Source: Mellor et al. (2021), "Neural Architecture Search
    without Training". Ridge regression: validation accuracy of a linear classifier of the features of the last layer.
warm: Each candidate starts with the weights of the most similar candidate before it, where layer and shape are the
    same. Rank correlation of its accuracy after some epochs with its final accuracy when trained from scratch.
rungs: Successive halving with Optuna's pruner, replayed from the curves in 40 random orders: median seconds until an
    epoch of a candidate reaches a goal, for several rungs and orders. The goal is 0.5 percentage points below the best
    accuracy of all candidates. The seconds of an epoch include a share of the time to build the network.
schedules: The final accuracy of some candidates with other learning rate schedules, minus that with `cosine`.
rates: The final accuracies in each third of the range of learning rates, and which share of the best third of all
    candidates lies there.

Each seed draws other candidates; the tables show the median (spread, n) over the seeds.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from peer_data import FOLDER, fashion
from peer_fovea import fovea_params
from peer_runs import MAX_RATE, MIN_RATE, Run
from results import publish
from scipy.stats import spearmanr
from table import machine, spread

from pipeline.backend.runtime import start_backend
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.weights import Weight, layer_weights, weights_of
from pipeline.data.training_data import TrainingData
from pipeline.description.flat_values import architecture_values
from pipeline.params.training import TrainingParams
from pipeline.sections import Params
from pipeline.terminal.console import run_main
from search.estimate.precheck import RandomDraws
from search.space.draw import propose

Weights = dict[tuple[str, str], NDArray[np.float32]]
Table = dict[tuple[str, ...], tuple[float, ...]]  # figures of one seed, by the labels of the row
EPOCHS, ORDERS = 9, 40
FIRST_WARM = 5  # number of the first candidate with enough others before it
RUNGS = {"1, 3, 9": 1, "3, 9": 3, "9, no pruning": EPOCHS}
SCHEDULES = ("constant", "one_cycle")


def main() -> None:
    """Train the candidates, and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--scheduled", type=int, default=8, help="candidates trained with each schedule")
    parser.add_argument("--train", type=int, default=5_000, help="number of training images")
    parser.add_argument("--val", type=int, default=5_000, help="number of validation images")
    given = parser.parse_args()
    print(machine(), flush=True)
    start_backend()
    signals, warm, rungs, schedules, rates = (list[Table]() for _ in range(5))
    for seed in given.seeds:
        run = Run(Path("unused"), 0.0, 0.0, str(given.folder), given.train, given.val, 2, 64, seed, "Fovea")
        params, data = fovea_params(run), fashion(given.folder, given.train, given.val)
        draws, shape = RandomDraws(seed), data.dataset.input_shape
        drawn = [propose(draws, params.search.space, params.model, shape, 10) for _ in range(given.candidates)]
        curves, seconds, weights = _train(drawn, params, data, "cosine")
        signals.append(_signals_table(drawn, params, data, curves))
        warm.append(_warm_table(curves, _train_warm(drawn, params, data, weights)))
        rungs.append(_replayed(curves, seconds, drawn))
        rates.append(_rates_table(drawn, curves[:, -1]))
        schedules.append(_schedules_table(drawn[: given.scheduled], params, data, curves[: given.scheduled, -1]))
    _publish("early_signals", ["signal", "rank correlation", "best third kept"], signals)
    columns = ["after epochs", "from scratch", "warm", "difference of the accuracies"]
    _publish("early_warm", columns, warm, digits=3)
    _publish("early_rungs", ["rungs after epochs", "order", "seconds to the goal"], rungs, digits=1)
    _publish("early_rates", ["learning rates", "median final accuracy", "share of the best third"], rates)
    _publish("early_schedules", ["schedule", "mean difference", "difference of the best"], schedules, digits=4)


def _publish(name: str, columns: Sequence[str], tables: Sequence[Table], digits: int = 2) -> None:
    """Publish the median and the spread of each figure over the seeds."""
    rows = [
        [*label, *(spread(values, digits) for values in zip(*(table[label] for table in tables), strict=True))]
        for label in tables[0]
    ]
    publish(name, columns, rows)


def _signals_table(
    drawn: Sequence[Candidate], params: Params, data: TrainingData, curves: NDArray[np.float64]
) -> Table:
    last, signals = curves[:, -1], _signals(drawn, data)
    for epochs in (1, 3):
        signals[f"accuracy after {epochs} of {EPOCHS} epochs"] = curves[:, epochs - 1]
        short, _, _ = _train(drawn, params, data, "one_cycle", epochs)
        signals[f"accuracy after {epochs} of {epochs} epochs, one_cycle"] = short[:, -1]
    return {(name,): (spearmanr(values, last).statistic, _kept(values, last)) for name, values in signals.items()}


def _warm_table(curves: NDArray[np.float64], warm: NDArray[np.float64]) -> Table:
    last, table = curves[FIRST_WARM:, -1], Table()
    for epoch in (1, 3):
        scratch, started = (each[FIRST_WARM:, epoch - 1] for each in (curves, warm))
        correlations = [float(spearmanr(values, last).statistic) for values in (scratch, started)]
        table[(str(epoch),)] = (*correlations, float(np.mean(started - scratch)))
    return table


def _rates_table(drawn: Sequence[Candidate], last: NDArray[np.float64]) -> Table:
    rates, best = np.array([each.training["learning_rate"] for each in drawn]), last >= np.quantile(last, 2 / 3)
    limits, table = np.geomspace(MIN_RATE, MAX_RATE, 4), Table()
    for low, high in pairwise(limits):
        chosen = (rates >= low) & (rates < high)
        table[(f"{low:.2g} to {high:.2g}",)] = (float(np.median(last[chosen])), float(best[chosen].sum() / best.sum()))
    return table


def _schedules_table(
    drawn: Sequence[Candidate], params: Params, data: TrainingData, last: NDArray[np.float64]
) -> Table:
    table = Table()
    for schedule in SCHEDULES:
        others, _, _ = _train(drawn, params, data, schedule)
        table[(schedule,)] = (float(np.mean(others[:, -1] - last)), float(others[:, -1].max() - last.max()))
    return table


def _train(
    candidates: Sequence[Candidate], params: Params, data: TrainingData, schedule: str, epochs: int = EPOCHS
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[Weights]]:
    """Return the validation accuracy of each candidate after each epoch, the seconds per epoch, and the weights."""
    from pipeline.training.fit import fit

    curves, seconds, weights = [], [], []
    for number, candidate in enumerate(candidates):
        began = time.perf_counter()
        fitted = fit(candidate.architecture, _training(candidate, params, schedule, epochs), data, seed=number)
        seconds.append((time.perf_counter() - began) / epochs)
        curves.append([epoch.val_accuracy for epoch in fitted.history])
        named = weights_of(candidate.architecture)
        values = layer_weights(fitted.model(), named)
        weights.append({(each.layer, each.name): value for each, value in zip(named, values, strict=True)})
        print(f"{schedule}, candidate {number}: {curves[-1][-1]:.4f}, {seconds[-1]:.2f} s per epoch", flush=True)
    return np.array(curves), np.array(seconds), weights


def _training(candidate: Candidate, params: Params, schedule: str, epochs: int = EPOCHS) -> TrainingParams:
    changes: dict[str, Any] = {"epochs": epochs, "patience": None, "schedule": schedule}
    return candidate.overlay(params.training.model_copy(update=changes))


def _train_warm(
    candidates: Sequence[Candidate], params: Params, data: TrainingData, weights: Sequence[Weights]
) -> NDArray[np.float64]:
    """Return the validation accuracy of each candidate after three epochs; zeros for the first ones."""
    import pipeline.trainers.trainer_steps as trainer
    from pipeline.training.fit import fit

    start, curves = trainer.initial_weights, np.zeros((len(candidates), 3))
    settings = [_settings(candidate) for candidate in candidates]
    for number in range(FIRST_WARM, len(candidates)):
        equal = [
            sum(settings[number].get(key) == value for key, value in settings[other].items()) for other in range(number)
        ]
        donor = weights[int(np.argmax(equal))]

        def warm(given: Sequence[Weight], *more: Any, donor: Weights = donor) -> list[NDArray[np.float32]]:
            values = start(given, *more)
            known = [donor.get((weight.layer, weight.name), np.zeros(0)) for weight in given]
            return [old if old.shape == new.shape else new for new, old in zip(values, known, strict=True)]

        trainer.initial_weights = warm  # type: ignore[assignment]
        try:
            training = _training(candidates[number], params, "cosine")
            fitted = fit(candidates[number].architecture, training, data, seed=number, until=3)
        finally:
            trainer.initial_weights = start
        curves[number] = [epoch.val_accuracy for epoch in fitted.history]
    return curves


def _settings(candidate: Candidate) -> dict[str, Any]:
    """Return the settings of a candidate by name."""
    return architecture_values(candidate.architecture) | dict(candidate.training)


def _signals(candidates: Sequence[Candidate], data: TrainingData) -> dict[str, NDArray[np.float64]]:
    images = data.train.images[:128].astype(np.float32)
    found: dict[str, list[float]] = {}
    for candidate in candidates:
        geometry = compute_geometry(candidate.architecture)
        from pipeline.cnn.build import build

        network = build(candidate.architecture, data.dataset.mean, data.dataset.std, seed=1)
        values = {
            "parameters": geometry.params,
            "multiply-accumulates": geometry.macs,
            "learning rate": candidate.training["learning_rate"],
            "gradient norm": _gradient_norm(network, images, data.train.labels[:128]),
            "NASWOT": _naswot(network, images),
            "ridge regression": _ridge_accuracy(network, data),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(float(value))  # type: ignore[arg-type]
    return {name: np.array(values) for name, values in found.items()}


def _gradient_norm(network: Any, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    import keras
    import tensorflow as tf

    with tf.GradientTape() as tape:
        losses = keras.losses.sparse_categorical_crossentropy(labels, network(images, training=False))
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, network.trainable_variables)
    return float(sum(np.linalg.norm(gradient) for gradient in gradients))


def _naswot(network: Any, images: NDArray[np.float32]) -> float:
    import keras

    outputs = [layer.output for layer in network.layers if type(layer).__name__ == "Activation"][:-1]
    kernel = np.zeros((len(images), len(images)))
    for output in keras.Model(network.input, outputs)(images):
        on = (np.asarray(output).reshape(len(images), -1) > 0).astype(np.float32)
        kernel += on @ on.T + (1 - on) @ (1 - on).T
    return float(np.linalg.slogdet(kernel)[1])


def _ridge_accuracy(network: Any, data: TrainingData) -> float:
    from sklearn.linear_model import RidgeClassifier

    from pipeline.interpretation.layer_outputs import network_outputs

    train, val = (
        np.concatenate([each.features for each in network_outputs(network, split.images[:2_000], 250)])
        for split in (data.train, data.val)
    )
    return float(RidgeClassifier().fit(train, data.train.labels[:2_000]).score(val, data.val.labels[:2_000]))


def _kept(values: NDArray[np.float64], last: NDArray[np.float64]) -> float:
    best = last >= np.quantile(last, 2 / 3)
    signed = values * np.sign(spearmanr(values, last).statistic)
    return float((best & (signed >= np.quantile(signed, 1 / 3))).sum() / best.sum())


def _replayed(curves: NDArray[np.float64], seconds: NDArray[np.float64], drawn: Sequence[Candidate]) -> Table:
    costs = np.array([compute_geometry(each.architecture).macs for each in drawn])
    orders: dict[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
        "as drawn": lambda order: order,
        "expensive ones wait (cost_aware)": lambda order: _cost_aware(order, seconds),
        "cheapest first": lambda order: order[np.argsort(costs[order], kind="stable")],
    }
    goal, table = curves.max() - 0.005, Table()
    for rungs, first in RUNGS.items():
        for name, rule in orders.items():
            found = []
            for seed in range(ORDERS):
                order = rule(np.random.default_rng(seed).permutation(len(drawn)))
                found.append(_seconds_to(goal, curves[order], seconds[order], first))
            table[rungs, name] = (median(found),)
    return table


def _cost_aware(order: NDArray[np.int64], seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Postpone a candidate until as much was spent as an epoch of it costs; each one is assumed to take three."""
    waiting, arranged, spent = list(order), list[int](), 0.0
    while waiting:
        ready = next((each for each in waiting if seconds[each] <= spent), None)
        chosen = min(waiting, key=lambda each: seconds[each]) if ready is None else ready
        waiting.remove(chosen)
        arranged.append(chosen)
        spent += 3 * seconds[chosen]
    return np.array(arranged)


def _seconds_to(goal: float, curves: NDArray[np.float64], seconds: NDArray[np.float64], first: int) -> float:
    """Seconds until an epoch reaches the goal. Candidates are trained in order, and pruned after rungs."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=3)
    study, spent = optuna.create_study(direction="maximize", pruner=pruner), 0.0
    for curve, cost in zip(curves, seconds, strict=True):
        trial = study.ask()
        state = optuna.trial.TrialState.COMPLETE
        for epoch, accuracy in enumerate(curve, start=1):
            spent += cost
            if accuracy >= goal:
                return spent
            trial.report(accuracy, epoch)
            if epoch < len(curve) and trial.should_prune():
                state = optuna.trial.TrialState.PRUNED
                break
        study.tell(trial, None if state == optuna.trial.TrialState.PRUNED else curve[-1], state)
    return spent


if __name__ == "__main__":
    run_main(main)
