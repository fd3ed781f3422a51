"""The Keras backend: selection, determinism, precision, and the epochs of training and evaluation."""
