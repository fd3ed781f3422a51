"""A network in training, epoch by epoch, on each Keras backend."""
