"""Epochs of training, evaluation or prediction on a Keras backend."""
