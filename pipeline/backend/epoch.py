"""Training, evaluation and prediction epochs for the current Keras backend."""

import keras

if keras.backend.backend() == "tensorflow":
    from pipeline.backend.epoch_tensorflow import make_evaluation_epoch, make_prediction_epoch, make_training_epoch
else:
    from pipeline.backend.epoch_keras import make_evaluation_epoch, make_prediction_epoch, make_training_epoch

__all__ = ["make_evaluation_epoch", "make_prediction_epoch", "make_training_epoch"]
