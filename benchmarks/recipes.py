"""What was tried to reach accuracy sooner: each change alone, compared with the same training run without it.

10,000 training and 5,000 validation images of Fashion-MNIST; three blocks of two convolutions (16, 32 and 64 filters)
with batch normalization and global average pooling, Adam with a one-cycle schedule, averaged weights, 6 epochs. The
tables show differences of the validation accuracy, as the mean over the seeds and its standard error, and the time of
the training steps as a ratio to that of the recipe with the same seed. The test images are not used.

Sources: averaged weights, Shamir and Zhang (2013), "Stochastic Gradient Descent for Non-smooth Optimization"; whitening
filters, Page (2019), "How to Train Your ResNet 8"; label smoothing, Szegedy et al. (2016), "Rethinking the Inception
Architecture"; Dirac initialization, Zagoruyko and Komodakis (2017), "DiracNets"; flips that alternate, Jordan (2024),
"94% on CIFAR-10 in 3.29 Seconds on a Single GPU"; backward passes for large losses only, Jiang et al. (2019),
"Accelerating Deep Learning by Focusing on the Biggest Losers"; smaller images first, Tan and Le (2021),
"EfficientNetV2"; several views of a test image, Krizhevsky et al. (2012), "ImageNet Classification with Deep
Convolutional Neural Networks".
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer_data import FOLDER, ROOT, dataset_of, fashion
from PIL import Image
from results import publish
from table import difference, machine, spread

from pipeline.backend.runtime import configure, start_backend
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.weights import Weight, set_weights, weights_of
from pipeline.data.split import Split, make_split
from pipeline.data.training_data import TrainingData
from pipeline.params import Block, Head, TrainingParams
from pipeline.params_file import validate
from pipeline.sections.load import load_params
from pipeline.terminal.console import run_main
from pipeline.trainers.trainer import Plan, Trainer
from pipeline.training.epoch_order import order_of_epoch
from pipeline.training.learning_rate import learning_rates
from pipeline.training.whitening import whitening_filters

EPOCHS, SMALL = 6, 20
RECIPE = {
    "epochs": EPOCHS, "batch_size": 128, "optimizer": "adam", "learning_rate": 0.01, "schedule": "one_cycle",
    "average_weights": True, "first_layer": "random", "label_smoothing": 0.0, "patience": None, "threads": 2,
}  # fmt: skip
PLAIN = "the recipe"
SETTINGS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "no averaged weights": {"average_weights": False},
    "whitening filters in the first layer": {"first_layer": "whitening"},
    "label smoothing of 0.1": {"label_smoothing": 0.1},
    "horizontal flips, random": {"augmentation": {"flip": "horizontal"}},
}
DIRAC, LOSERS = "Dirac initialization (identity kernels)", "backward pass for the half of each batch with larger losses"
ALTERNATING, SMALLER = "horizontal flips that alternate between epochs", f"half of the epochs on {SMALL}×{SMALL}"
CHANGES = (*SETTINGS, DIRAC, LOSERS, ALTERNATING, SMALLER)
VIEWS = ("9 shifts by up to a pixel", "the image and its mirror image", "both")
Curve = list[float]  # validation accuracy after each epoch


def main() -> None:
    """Train with each change, and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--train", type=int, default=10_000, help="number of training images")
    given = parser.parse_args()
    print(machine(), flush=True)
    start_backend()
    configure(threads=2)
    data = fashion(given.folder, given.train, 5_000)
    curves: dict[str, list[Curve]] = {change: [] for change in CHANGES}
    seconds: dict[str, list[float]] = {change: [] for change in CHANGES}
    views: dict[str, list[float]] = {view: [] for view in VIEWS}
    for seed in given.seeds:
        for change in CHANGES:
            curve, taken, trainer = _train(change, data, seed)
            curves[change].append(curve)
            seconds[change].append(taken)
            print(f"seed {seed}, {change}: {curve[-1]:.4f}, {taken:.1f} s", flush=True)
            if change == PLAIN:
                for view, accuracy in _accuracy_of_views(trainer, data).items():
                    views[view].append(accuracy - curve[-1])
    rows = [
        [
            change,
            *(difference([one[at] - two[at] for one, two in zip(curves[change], curves[PLAIN], strict=True)])
              for at in (0, EPOCHS - 1)),
            spread([one / two for one, two in zip(seconds[change], seconds[PLAIN], strict=True)]),
        ]
        for change in CHANGES[1:]
    ]  # fmt: skip
    publish("recipes", ["change", "after 1 epoch", f"after {EPOCHS} epochs", "time"], rows)
    publish(
        "recipes_views",
        ["predictions averaged over", "difference"],
        [[view, difference(differences)] for view, differences in views.items()],
    )


def _train(change: str, data: TrainingData, seed: int) -> tuple[Curve, float, Trainer]:
    """Return the curve, the seconds of the training steps, and the trainer."""
    from pipeline.trainers.cache import make_trainer
    from pipeline.trainers.steps_tensorflow import TensorFlowSteps
    from pipeline.trainers.trainer_steps import StepTrainer

    plan = _plan(SETTINGS.get(change, {}), data, seed)
    trainer: Trainer = StepTrainer(plan, _losers(TensorFlowSteps)(plan)) if change == LOSERS else make_trainer(plan)
    if change == DIRAC:
        _start_with_identities(trainer, plan)
    elif change != SMALLER:
        trainer.start(plan, None)
    curve, seconds = Curve(), 0.0
    if change == SMALLER:
        smaller = _resized(data)
        first_plan = _plan({}, smaller, seed)
        first = make_trainer(first_plan)
        first.start(first_plan, None)
        for epoch in range(1, EPOCHS // 2 + 1):
            accuracy, taken = _epoch(first, smaller, seed, epoch)
            curve.append(accuracy)
            seconds += taken
        trainer.start(plan, first.state())
    for epoch in range(len(curve) + 1, EPOCHS + 1):
        images = _alternated(data.train.images, seed, epoch) if change == ALTERNATING else data.train.images
        accuracy, taken = _epoch(trainer, data, seed, epoch, images)
        curve.append(accuracy)
        seconds += taken
    return curve, seconds, trainer


def _plan(settings: dict[str, Any], data: TrainingData, seed: int) -> Plan:
    params = load_params(ROOT / "params.yaml").training.model_dump(mode="json")
    augmentation = params["augmentation"] | settings.get("augmentation", {})
    training = validate(TrainingParams, params | RECIPE | settings | {"augmentation": augmentation}, "recipes.py")
    block = Block(filters=16, convs=2, normalization="batch")
    architecture = Architecture(
        input_shape=data.dataset.input_shape,
        classes=10,
        blocks=tuple(block.model_copy(update={"filters": filters}) for filters in (16, 32, 64)),
        head=Head(kind="global_average"),
    )
    steps = EPOCHS * -(-len(data.train.labels) // training.batch_size)
    filters = whitening_filters(architecture, data) if training.first_layer == "whitening" else None
    rates = learning_rates(training, steps)
    return Plan(architecture, training, data.dataset, np.ones(10, np.float32), seed, rates, filters)


def _epoch(
    trainer: Trainer, data: TrainingData, seed: int, epoch: int, images: NDArray[np.uint8] | None = None
) -> tuple[float, float]:
    """Train for an epoch, and return the validation accuracy and the seconds of the training."""
    train, count = data.train, len(data.train.labels)
    began = time.perf_counter()
    trainer.train(train.images if images is None else images, train.labels, order_of_epoch(seed, epoch, count, count))
    seconds = time.perf_counter() - began
    return trainer.evaluate(data.val.images, data.val.labels).accuracy, seconds


def _losers(steps: Any) -> Any:
    """Steps that differentiate the loss of the half of a batch with the larger losses."""
    import tensorflow as tf

    from pipeline.trainers.layers_tensorflow import Pass

    class Losers(steps):  # type: ignore[misc]
        def _differentiate(self, values: Any, batch: tuple[Any, ...], total: Any, random: Any) -> Any:
            from pipeline.trainers.steps_tensorflow import _tensors

            images, labels, counts = batch
            forward = Pass(_tensors(values, self.trainable), self._dtype, random)
            scores = self._layers.scores(self._standardized(images), forward)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores) * counts
            chosen = tf.math.top_k(losses, k=int(images.shape[0]) // 2).indices
            half = tuple(tf.gather(each, chosen) for each in batch)
            loss, gradient, right, _ = super()._differentiate(values, half, tf.reduce_sum(half[2]), random)
            return loss, gradient, right, forward.statistics

    return Losers


def _start_with_identities(trainer: Trainer, plan: Plan) -> None:
    """Start a trainer with convolutions that pass their input on, as far as they have filters for it."""
    import pipeline.trainers.trainer_steps as module

    start = module.initial_weights

    def identities(weights: Sequence[Weight], *more: Any) -> list[NDArray[np.float32]]:
        values = [np.array(value) for value in start(weights, *more)]
        for value in values:
            if value.ndim == 4 and value.shape[2] > 1:
                channels = min(value.shape[2:])
                value[..., :channels] = 0.0
                value[value.shape[0] // 2, value.shape[1] // 2, range(channels), range(channels)] = 1.0
        return values

    module.initial_weights = identities  # type: ignore[assignment]
    try:
        trainer.start(plan, None)
    finally:
        module.initial_weights = start


def _alternated(images: NDArray[np.uint8], seed: int, epoch: int) -> NDArray[np.uint8]:
    """Flip a random half of the images in odd epochs, and the other half in even ones."""
    flipped = (np.random.default_rng(seed).random(len(images)) < 0.5) ^ (epoch % 2 == 0)
    return np.where(flipped[:, None, None, None], images[:, :, ::-1], images)


def _resized(data: TrainingData) -> TrainingData:
    def smaller(split: Split) -> Split:
        images = [Image.fromarray(image[..., 0]).resize((SMALL, SMALL), Image.Resampling.BOX) for image in split.images]
        return make_split(split.name, np.stack([np.asarray(image) for image in images])[..., None], split.labels)

    train, val = smaller(data.train), smaller(data.val)
    scale = {"mean": data.dataset.mean, "std": data.dataset.std}
    return TrainingData(dataset_of("smaller", train, val).model_copy(update=scale), train, val)


def _accuracy_of_views(trainer: Trainer, data: TrainingData) -> dict[str, float]:
    """Accuracy of predictions that are averaged over several views of each validation image."""
    from pipeline.backend.predictor import predict_probabilities
    from pipeline.cnn.build import build

    plan = _plan({}, data, 1)
    network = build(plan.architecture, plan.dataset.mean, plan.dataset.std)
    set_weights(network, weights_of(plan.architecture), trainer.weights())
    shifts: list[Callable[[Any], Any]] = [
        lambda images, down=down, right=right: np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))[
            :, 1 + down : 29 + down, 1 + right : 29 + right
        ]
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]
    found = {}
    for view, flips, moves in ((VIEWS[0], [1], shifts), (VIEWS[1], [1, -1], shifts[4:5]), (VIEWS[2], [1, -1], shifts)):
        total = sum(
            predict_probabilities(network, np.ascontiguousarray(move(data.val.images)[:, :, ::flip]), 256)
            for move in moves
            for flip in flips
        )
        found[view] = float(np.mean(np.asarray(total).argmax(axis=1) == data.val.labels))
    return found


if __name__ == "__main__":
    run_main(main)
