"""Do cross-validation and finalists choose better networks than one training run of each candidate?

Draws candidates from the space of params.yaml, and trains each of them on some of the images: divided into 4 folds, one
of which validates, and with 4 seeds on the first division. Each rule of choice selects one candidate. `accuracy` is the
accuracy of the selected one on the other images (of the digits about 1,200, of Fashion-MNIST 20,000), as the mean over
all its trainings, minus that of the candidate that `one split` selects. Repeated for several draws of images. The test
split of the digits and the test files of Fashion-MNIST are not used.
"""

import argparse
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer_data import FOLDER, ROOT, dataset_of, digits, fashion
from results import publish
from table import difference, machine

from pipeline.backend.runtime import start_backend
from pipeline.cnn.candidate import Candidate
from pipeline.data.split import make_split
from pipeline.data.training_data import TrainingData
from pipeline.params import TrainingParams
from pipeline.sections import Params
from pipeline.sections.load import load_params
from pipeline.terminal.console import run_main
from search.estimate.precheck import RandomDraws
from search.space.draw import propose
from search.space.feasibility import check_feasibility

FOLDS = 4
OTHERS = 20_000  # images of Fashion-MNIST on which the selected candidates are compared
TOP = 3


def main() -> None:
    """Train the candidates, and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("digits", "fashion"), default="digits")
    parser.add_argument("--images", type=int, default=240, help="images for training and validation")
    parser.add_argument("--epochs", type=int, help="epochs of a training run; default: search.epochs of params.yaml")
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--draws", type=int, default=12, help="number of draws of the images, at least 2")
    given = parser.parse_args()
    if given.draws < 2:
        parser.error(f"--draws: must be at least 2, got {given.draws}")
    print(machine(), flush=True)
    start_backend()
    params = load_params(ROOT / "params.yaml")
    epochs = given.epochs or params.search.epochs
    images, labels = _digits() if given.data == "digits" else _fashion(given.images)
    gained: dict[str, list[float]] = {}
    for draw in range(given.draws):
        candidates = _candidates(params, given.candidates, draw, images.shape[1:])
        found = _choices(*_train(candidates, params.training, epochs, images, labels, given.images, draw))
        for rule, accuracy in found.items():
            gained.setdefault(rule, []).append(accuracy - found["one split"])
        print(draw, {rule: round(values[-1], 4) for rule, values in gained.items()}, flush=True)
    rows = [
        [rule, trainings, difference(gained[rule])]
        for rule, trainings in {
            "one split": "1", f"mean over {FOLDS} seeds": f"{FOLDS}", f"mean over {FOLDS} folds": f"{FOLDS}",
            f"best {TOP} of one split, then {FOLDS - 1} other seeds": "1, finalists 4",
            f"best {TOP} of one split, then {FOLDS - 1} other folds": "1, finalists 4", "the best of all": "",
        }.items()
    ]  # fmt: skip
    publish(
        f"folds_{given.data}",
        ["rule", "trainings per candidate", "accuracy"],
        rows,
    )


def _digits() -> tuple[NDArray[Any], NDArray[np.int64]]:
    splits = digits().train, digits().val
    return np.concatenate([split.images for split in splits]), np.concatenate([split.labels for split in splits])


def _fashion(images: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    train = fashion(FOLDER, images + OTHERS, 0).train
    return train.images, train.labels


def _candidates(params: Params, number: int, seed: int, shape: tuple[int, ...]) -> list[Candidate]:
    draws, found = RandomDraws(seed), list[Candidate]()
    while len(found) < number:
        proposal = propose(draws, params.search.space, params.model, shape, 10)
        if not check_feasibility(proposal, params.search.budget).violations:
            found.append(proposal)
    return found


def _train(
    candidates: list[Candidate], given: TrainingParams, epochs: int, images: NDArray[Any], labels: NDArray[np.int64],
    number: int, draw: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return the validation accuracies (candidates, folds) and (candidates, seeds), and the true ones (candidates,)."""
    from pipeline.backend.predictor import predict_probabilities
    from pipeline.training.fit import fit

    order = np.random.default_rng(draw).permutation(len(labels))
    drawn, rest = order[:number], order[number:]
    folds, seeds = (np.zeros((len(candidates), FOLDS)) for _ in range(2))
    true = np.zeros(len(candidates))

    def accuracy(candidate: Candidate, fold: int, seed: int) -> tuple[float, float]:
        validates = np.arange(number) % FOLDS == fold
        train = make_split("train", images[drawn[~validates]], labels[drawn[~validates]])
        val = make_split("val", images[drawn[validates]], labels[drawn[validates]])
        training = candidate.overlay(given).model_copy(update={"epochs": epochs, "patience": None})
        data = TrainingData(dataset_of("images", train, val), train, val)
        fitted = fit(candidate.architecture, training, data, seed=1_000 * draw + seed)
        predicted = predict_probabilities(fitted.model(), images[rest], 256).argmax(axis=1)
        return fitted.history[-1].val_accuracy, float(np.mean(predicted == labels[rest]))

    for place, candidate in enumerate(candidates):
        outside = []
        for number_of in range(FOLDS):
            folds[place, number_of], one = accuracy(candidate, number_of, 0)
            outside.append(one)
            if number_of:
                seeds[place, number_of], one = accuracy(candidate, 0, number_of)
                outside.append(one)
        seeds[place, 0], true[place] = folds[place, 0], mean(outside)
    return folds, seeds, true


def _choices(folds: NDArray[np.float64], seeds: NDArray[np.float64], true: NDArray[np.float64]) -> dict[str, float]:
    """Return the true accuracy of the candidate that each rule selects. Ties are broken by the order of candidates."""
    top = np.argsort(-folds[:, 0], kind="stable")[:TOP]
    return {
        "one split": true[folds[:, 0].argmax()],
        f"mean over {FOLDS} seeds": true[seeds.mean(axis=1).argmax()],
        f"mean over {FOLDS} folds": true[folds.mean(axis=1).argmax()],
        f"best {TOP} of one split, then {FOLDS - 1} other seeds": true[top[seeds[top, 1:].mean(axis=1).argmax()]],
        f"best {TOP} of one split, then {FOLDS - 1} other folds": true[top[folds[top, 1:].mean(axis=1).argmax()]],
        "the best of all": true.max(),
    }


if __name__ == "__main__":
    run_main(main)
