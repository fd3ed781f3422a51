"""The Keras backend: its start, its precision, and prediction with it."""
