"""Alternatives to Fovea on a small dataset: a plain Keras script, KerasTuner, and AutoKeras.

Each peer reads the splits that Fovea prepared, trains on the training and validation images within a time limit, and
writes the predicted labels of the test images.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from peer_runs import until_time_is_up

from pipeline.data.split import read_split


def plain_keras(x: Any, y: Any, classes: int, seconds: float) -> Any:
    """Train the network of Keras's simple convnet example with the settings of that example.

    The example fails on 8×8 images, because the feature map becomes too small for the pooling. Small images are
    therefore padded (`padding="same"`).
    """
    import keras
    from keras import layers

    padding = "same" if min(x.shape[1:3]) < 10 else "valid"
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(32, 3, padding=padding, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, padding=padding, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(classes, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=128, epochs=15, validation_split=0.1, verbose=0)
    return model


def keras_tuner(x: Any, y: Any, classes: int, seconds: float) -> Any:
    """Search with KerasTuner's Hyperband and its defaults, over the kind of network that its guides search.

    Returns the best model, as trained during the search, when the time is up.
    """
    import keras
    import keras_tuner as kt
    from keras import layers

    def build(hp: kt.HyperParameters) -> keras.Model:
        model = keras.Sequential([keras.Input(x.shape[1:])])
        for block in range(hp.Int("blocks", 1, 3)):
            model.add(layers.Conv2D(hp.Int(f"filters_{block}", 32, 128, step=32), 3, padding="same"))
            if hp.Boolean("batch_normalization"):
                model.add(layers.BatchNormalization())
            model.add(layers.ReLU())
            pool = layers.MaxPooling2D if hp.Choice("pooling", ["max", "average"]) == "max" else layers.AveragePooling2D
            model.add(pool(2, padding="same"))
        model.add(layers.Flatten() if hp.Choice("head", ["flatten", "average"]) == "flatten" else _average())
        model.add(layers.Dense(hp.Int("units", 32, 256, step=32), activation="relu"))
        if hp.Boolean("dropout"):
            model.add(layers.Dropout(0.25))
        model.add(layers.Dense(classes, activation="softmax"))
        adam = keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log"))
        model.compile(optimizer=adam, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    end = time.time() + seconds
    with tempfile.TemporaryDirectory() as folder:
        tuner = kt.Hyperband(
            build, objective="val_accuracy", hyperband_iterations=1_000, seed=1, directory=folder, project_name="study"
        )
        with until_time_is_up(lambda: end - time.time()):
            tuner.search(x, y, validation_split=0.2, verbose=0)
        return tuner.get_best_models(1)[0]


def _average() -> Any:
    from keras import layers

    return layers.GlobalAveragePooling2D()


def auto_keras(x: Any, y: Any, classes: int, seconds: float) -> Any:
    """Search with AutoKeras's image classifier and its defaults, and return the best model when the time is up.

    AutoKeras 3.0.0 passes the number of classes to `Dense` as a NumPy integer, which Keras 3.15 rejects. The number is
    therefore converted to a Python integer.
    """
    import autokeras as ak
    from autokeras.blocks import heads
    from keras import layers

    heads.layers = SimpleNamespace(**{**vars(layers), "Dense": lambda units: layers.Dense(int(units))})
    end = time.time() + seconds
    with tempfile.TemporaryDirectory() as folder:
        classifier = ak.ImageClassifier(seed=1, directory=folder)
        with until_time_is_up(lambda: end - time.time()):
            classifier.fit(x, y, verbose=0)
        return classifier.tuner.get_best_model()


PEERS: dict[str, Callable[[Any, Any, int, float], Any]] = {
    "plain Keras": plain_keras,
    "KerasTuner": keras_tuner,
    "AutoKeras": auto_keras,
}


def main() -> None:
    """Train one of the peers and write the predicted labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=tuple(PEERS))
    parser.add_argument("prepared", type=Path, help="folder of the prepared splits")
    parser.add_argument("seconds", type=float, help="time limit of the search; the plain script has none")
    parser.add_argument("predictions", type=Path, help=".npy file to write")
    given = parser.parse_args()

    import keras

    keras.utils.set_random_seed(1)
    train, val, test = (read_split(given.prepared / name, name) for name in ("train", "val", "test"))
    white = float(train.images.max())  # 16 for the digits
    x = np.concatenate([train.images, val.images]).astype("float32") / white
    y = np.concatenate([train.labels, val.labels])
    shuffled = np.random.default_rng(1).permutation(len(x))  # validation_split takes the last images
    model = PEERS[given.peer](x[shuffled], y[shuffled], int(y.max()) + 1, given.seconds)
    probabilities = model.predict(test.images.astype("float32") / white, verbose=0)
    if probabilities.shape[1] == 1:  # AutoKeras has a single output for two classes
        probabilities = np.hstack([1 - probabilities, probabilities])
    np.save(given.predictions, probabilities.argmax(axis=1))


if __name__ == "__main__":
    main()
