"""The passes over a split's images, by the means of the backend that Keras runs on."""

import keras

if keras.backend.backend() == "tensorflow":
    from pipeline.backend.epoch_tensorflow import make_answering, make_judging_pass, make_training_pass
else:
    from pipeline.backend.epoch_keras import make_answering, make_judging_pass, make_training_pass

__all__ = ["make_answering", "make_judging_pass", "make_training_pass"]
