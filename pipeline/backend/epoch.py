"""The passes over a split's images, by the means of the backend that Keras runs on."""

import keras

if keras.backend.backend() == "tensorflow":
    from pipeline.backend.epoch_tensorflow import make_evaluation_epoch, make_prediction_epoch, make_training_epoch
else:
    from pipeline.backend.epoch_keras import make_evaluation_epoch, make_prediction_epoch, make_training_epoch

__all__ = ["make_evaluation_epoch", "make_prediction_epoch", "make_training_epoch"]
