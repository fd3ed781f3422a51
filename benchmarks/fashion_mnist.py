"""Train the baseline of the Fashion-MNIST example, from the IDX files to the test accuracy.

Needs the four IDX files at the path in examples/fashion_mnist.yaml. All output is written to a temporary folder.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from table import machine

from pipeline import prepare
from pipeline.backend.predictor import predict_probabilities
from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import read_dataset
from pipeline.data.split import read_split
from pipeline.data.training_data import TrainingData
from pipeline.sections.load import load_params
from pipeline.training.fit import fit


def main() -> None:
    """Train and evaluate the network, and print the results."""
    params = load_params(Path("examples/fashion_mnist.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared")
        prepare.run(params, prepare.Paths(prepared, Path(folder, "reports")))
        dataset = read_dataset(prepared / "dataset.json")
        train, val = (read_split(prepared / name, name) for name in ("train", "val"))
        architecture = Architecture.from_model(params.model, dataset.input_shape, len(dataset.classes))
        began = time.perf_counter()
        epochs: list[float] = []
        fitted = fit(
            architecture,
            params.training,
            TrainingData(dataset, train, val),
            seed=params.seed,
            on_epoch=lambda metrics, seconds, _: (
                epochs.append(seconds),
                print(f"epoch {metrics.epoch:2}: {seconds:5.1f} s, validation accuracy {metrics.val_accuracy:.4f}"),
            )[0],
        )
        took = time.perf_counter() - began
        test = read_split(prepared / "test", "test")
        predicted = predict_probabilities(fitted.model(), test.images, 256).argmax(axis=1)
    print(machine())
    print("test accuracy  minutes  epochs  images per second (median epoch)")
    print(
        f"{np.mean(predicted == test.labels):13.4f}  {took / 60:7.2f}  {len(epochs):6}  "
        f"{len(train.labels) / np.median(epochs):10.0f}"
    )


if __name__ == "__main__":
    main()
